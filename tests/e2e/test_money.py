"""What calls cost their accounts, through every door: held before, settled after, never more."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterator
from typing import Any

import pytest

from tests.conftest import Door, Entrance, check_end
from tests.support import config as configuration
from tests.support import deployments
from tests.support.asking import hello
from tests.support.call_log import CallLog, until
from tests.support.config import KEY
from tests.support.deployments import Deployment
from tests.support.ledger_file import ACCOUNT, LedgerFile
from tests.support.openai_wire import says, stream
from tests.support.scripted_upstream import ScriptedUpstream
from tests.support.scripts import Piece, cut, hold, pause
from tests.support.signals import Signal

PRICES = {"prompt": "0.000001", "completion": "0.000003"}
CREDIT = 10**9  # nano-dollars
POOR, CAPPED = "llmbase_test-key-without-money-0123456789", "llmbase_test-key-with-a-cap-0123456789"
FEW = 3  # calls that the account may have open

Paid = tuple[Deployment, LedgerFile]


def _settings(upstream: ScriptedUpstream) -> dict[str, Any]:
    settings = configuration.standard(upstream)
    for each in settings["models"].values():
        each["pricing"] = PRICES
    settings["models"]["test/unpriced"] = configuration.model(("alpha", "unpriced"))
    cap = {"usd": "0.0001", "period": "day"}
    settings["keys"] = [
        configuration.key_entry("rich", KEY, ["*"]) | {"account": ACCOUNT},
        configuration.key_entry("poor", POOR, ["*"]) | {"account": "poor"},
        configuration.key_entry("capped", CAPPED, ["*"]) | {"account": ACCOUNT, "spend_cap": cap},
    ]
    return settings


@pytest.fixture(scope="module")
def paid(_upstream: ScriptedUpstream, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Paid]:
    directory = tmp_path_factory.mktemp("paid")
    ledger = LedgerFile(directory / "books.db")
    settings = _settings(_upstream) | ledger.settings | {"accounts": {"max_active": FEW}}
    with deployments.one_process(_upstream, directory, settings) as deployment:
        ledger.credit(CREDIT)
        yield deployment, ledger
        check_end(deployment)
    assert ledger.account() == (CREDIT - ledger.spent(), 0)


@pytest.fixture(params=["grpc", "rest"])
def way(request: pytest.FixtureRequest, paid: Paid) -> Entrance:
    return Entrance(request.param, paid[0])


@pytest.fixture
def ledger(paid: Paid) -> LedgerFile:
    return paid[1]


@pytest.fixture
def log(paid: Paid) -> CallLog:
    return CallLog(paid[0])


@pytest.fixture
async def way_in(way: Entrance, upstream: ScriptedUpstream) -> AsyncIterator[Door]:
    async with way.open(KEY) as door:
        yield door


async def test_an_answer_costs_what_it_used(
    way_in: Door, streamed: bool, upstream: ScriptedUpstream, ledger: LedgerFile, log: CallLog
) -> None:
    upstream.on("one", says("Hello"))
    answer = await way_in.ask(hello(stream=streamed), headers=log.named())
    assert answer.complete
    (entry,) = await _settled(ledger, log)
    assert entry == ("OK", 12, 3, 12 * 1_000 + 3 * 3_000)


async def test_a_stream_ends_when_its_money_is_used_up(
    way_in: Door, upstream: ScriptedUpstream, ledger: LedgerFile, log: CallLog
) -> None:
    words = [f"{i:07d} " for i in range(5_000)]
    events = says(*words).events()
    pieces: list[Piece] = [piece for event in events for piece in (event, pause(0.001))]
    upstream.on("one", stream(*pieces))

    body = hello(stream=True) | {"max_tokens": 20}  # which the provider does not keep to
    answer = await way_in.ask(body, headers=log.named())

    assert answer.complete
    (choice,) = answer.choices
    assert (choice.finish, choice.native_finish) == ("length", "BUDGET")
    assert words[0] in choice.text
    exchange = await upstream.arrival()
    await exchange.left.wait(5)  # the provider was let go long before it was through
    (entry,) = await _settled(ledger, log)
    held = 3_000 * 20 + 1_000 * (64 + 200)
    assert 0 < entry.cost <= held


async def test_what_came_before_a_cut_is_paid_for(
    way_in: Door, upstream: ScriptedUpstream, ledger: LedgerFile, log: CallLog
) -> None:
    role, hello_, *_ = says("Hello").events()
    upstream.on("one", stream(role, hello_, cut))
    answer = await way_in.ask(hello(stream=True), headers=log.named())
    assert answer.code == "upstream_truncated"
    (entry,) = await _settled(ledger, log)
    assert entry.outcome == "UPSTREAM_TRUNCATED"
    assert entry.completion_tokens > 0
    assert entry.cost == entry.prompt_tokens * 1_000 + entry.completion_tokens * 3_000


async def test_a_call_that_fails_costs_nothing(
    way_in: Door, streamed: bool, upstream: ScriptedUpstream, ledger: LedgerFile, log: CallLog
) -> None:
    upstream.on("one", stream(cut))
    answer = await way_in.ask(hello(stream=streamed), headers=log.named())
    assert answer.code == "all_providers_failed"
    await until(lambda: ledger.held() == 0)
    assert ledger.entries(log.ids[-1]) == []


@pytest.mark.parametrize(
    ("key", "code"), [(POOR, "insufficient_balance"), (CAPPED, "spend_cap_reached")]
)
async def test_who_cannot_pay_is_refused_before_anybody_is_asked(
    key: str, code: str, way: Entrance, streamed: bool, upstream: ScriptedUpstream
) -> None:
    async with way.open(key) as door:
        answer = await door.ask(hello(stream=streamed))
    assert answer.code == code
    assert upstream.requests == []


async def test_a_model_without_a_price_is_not_for_who_pays(
    way_in: Door, upstream: ScriptedUpstream
) -> None:
    answer = await way_in.ask(hello("test/unpriced"))
    assert answer.code == "price_unknown"
    assert upstream.requests == []


async def test_an_account_has_so_many_calls_open_and_no_more(
    way_in: Door, upstream: ScriptedUpstream
) -> None:
    go_on = Signal()
    upstream.on("one", stream(hold(go_on), *says("Hello").events()))
    open_ = [asyncio.create_task(way_in.ask(hello(stream=True))) for _ in range(FEW)]
    await upstream.arrival(FEW)

    refused = await way_in.ask(hello(stream=True))

    assert refused.code == "too_many_concurrent_requests"
    assert refused.failure is not None
    assert refused.failure.message == (
        "Too many active inference requests. Retry after current requests finish."
    )
    go_on.set()
    assert all(answer.complete for answer in await asyncio.gather(*open_))
    upstream.on("one", says("Hello"))
    assert (await way_in.ask(hello())).complete


async def _settled(ledger: LedgerFile, log: CallLog) -> list[Any]:
    request_id = log.ids[-1]
    await until(lambda: bool(ledger.entries(request_id)))
    return ledger.entries(request_id)
