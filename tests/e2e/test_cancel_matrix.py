"""Whenever the caller leaves, the provider is let go at once, nobody else is asked, one line of the
log says how the call ended, and what was consumed is settled, once."""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import AbstractContextManager
from typing import Any

import psutil  # type: ignore[import-untyped]
import pytest

from tests.conftest import Door, Entrance, check_end
from tests.support import config as configuration
from tests.support import deployments
from tests.support.asking import hello
from tests.support.call_log import CallLog, until
from tests.support.config import KEY
from tests.support.deployments import Deployment
from tests.support.hedging import UNHEDGED, make_known
from tests.support.ledger_file import ACCOUNT, Entry, LedgerFile
from tests.support.nobody import Nobody, nobody, states
from tests.support.openai_wire import says, stream, unary
from tests.support.phases import DONE, FINISH, HEL, PHASES, ROLE, USAGE, Phase
from tests.support.scripted_upstream import ScriptedUpstream
from tests.support.scripts import Exchange, Step
from tests.support.signals import Signal
from tests.support.unread import Flood, begin, until_blocked
from tests.support.unwhole import begun_requests

pytestmark = pytest.mark.matrix

WITHIN = 0.2  # seconds: the bound of the API's contract
TRIES = 3  # the machine may be busy: the best of these must be in time
CREDIT = 10**15  # nano-dollars
BREATH = 0.02  # seconds for what the provider has sent to be read: how deep, not whether, we are


Paid = tuple[Deployment, LedgerFile]


@pytest.fixture(scope="module")
def empty() -> Iterator[Nobody]:
    with nobody() as ports:
        yield ports


@pytest.fixture(scope="module")
def settings(_upstream: ScriptedUpstream, empty: Nobody) -> dict[str, Any]:
    """The standard configuration, and a model for each way of routing."""
    settings = configuration.standard(_upstream)
    providers, models = settings["providers"], settings["models"]
    for name in ("slow", "patient"):  # that pay for hedges and repeats from their own budgets
        providers[name] = configuration.provider(_upstream.url(f"/{name}"))
    for name in ("hole", "deaf"):
        port = getattr(empty, name)
        providers[name] = configuration.provider(f"http://127.0.0.1:{port}/v1", connect="30s")
        models[f"test/{name}"] = configuration.model((name, name))
    models["test/again"] = configuration.model(("patient", "again"), max_attempts=3)
    models["test/hedged"] = configuration.model(("slow", "first"), ("beta", "second"), hedge={})
    models[UNHEDGED] = configuration.model(("slow", "first"))
    models["test/resuming"] = configuration.model(("alpha", "first"), ("beta", "second"))
    models["test/resuming"]["targets"][1]["continuation"] = True
    for each in models.values():
        each["pricing"] = {"prompt": "0.000001", "completion": "0.000003"}
    for key in settings["keys"]:
        key["account"] = ACCOUNT
    return settings


@contextlib.contextmanager
def _paid(found: AbstractContextManager[Deployment], ledger: LedgerFile) -> Iterator[Deployment]:
    """The deployment, with money on the account that pays; at the end its books must balance."""
    with found as deployment:
        ledger.credit(CREDIT)
        yield deployment
        check_end(deployment)
    assert ledger.held() == 0, "calls that are over hold money"
    assert ledger.account() == (CREDIT - ledger.spent(), 0)


@pytest.fixture(scope="module")
def up(
    _upstream: ScriptedUpstream,
    settings: dict[str, Any],
    tmp_path_factory: pytest.TempPathFactory,
) -> Iterator[Paid]:
    directory = tmp_path_factory.mktemp("up")
    ledger = LedgerFile(directory / "books.db")
    found = deployments.one_process(_upstream, directory, settings | ledger.settings)
    with _paid(found, ledger) as deployment:
        yield deployment, ledger


@pytest.fixture(scope="module")
def beside(
    _upstream: ScriptedUpstream,
    settings: dict[str, Any],
    tmp_path_factory: pytest.TempPathFactory,
) -> Iterator[Paid]:
    directory = tmp_path_factory.mktemp("beside")
    ledger = LedgerFile(directory / "books.db")
    found = deployments.sidecar(_upstream, directory, settings | ledger.settings)
    with _paid(found, ledger) as deployment:
        yield deployment, ledger


@pytest.fixture(params=["grpc", "rest", "sidecar"])
def paid_way(request: pytest.FixtureRequest) -> tuple[Entrance, LedgerFile]:
    """Each way in, in turn, and where it writes what calls cost."""
    name = "beside" if request.param == "sidecar" else "up"
    deployment, ledger = request.getfixturevalue(name)
    return Entrance(request.param, deployment), ledger


@pytest.fixture
def way(paid_way: tuple[Entrance, LedgerFile]) -> Entrance:
    return paid_way[0]


@pytest.fixture
def ledger(paid_way: tuple[Entrance, LedgerFile]) -> LedgerFile:
    return paid_way[1]


@pytest.fixture
async def way_in(way: Entrance, upstream: ScriptedUpstream) -> AsyncIterator[Door]:
    async with way.open(KEY) as door:
        yield door


@pytest.mark.parametrize("phase", PHASES, ids=lambda phase: phase.name)
async def test_a_caller_leaves(
    phase: Phase,
    streamed: bool,
    way: Entrance,
    way_in: Door,
    upstream: ScriptedUpstream,
    ledger: LedgerFile,
) -> None:
    doing = phase.doing(streamed=streamed)
    if isinstance(doing, str):
        pytest.skip(doing)
    body = hello(phase.model, stream=streamed)
    if phase.continued:
        body["llmbase"] = {"continuation": "allow"}
    if phase.hedged:
        await make_known(way_in, upstream, body)
    log = CallLog(way.deployment)

    async def leave() -> float:
        upstream.reset()
        for model, script in phase.earlier:
            upstream.on(model, script)
        marks = [Signal() for _ in phase.held]
        for model, mark in zip(phase.held, marks, strict=True):
            upstream.on(model, doing(_reaches(mark)))
        begun = Signal()
        headers = log.named()
        asking = asyncio.create_task(way_in.ask(body, headers=headers, first=begun))
        exchanges = [await upstream.arrival(number + 1) for number in range(len(phase.asked()))]
        for mark in marks:
            await mark.wait()
        if phase.begun and streamed:
            await begun.wait()
        await asyncio.sleep(BREATH)
        assert not asking.done()
        assert (begun.at is not None) == (phase.begun and streamed)

        left_at = time.monotonic()
        asking.cancel()
        gone = [await it.left.wait(5) for it in exchanges[len(phase.earlier) :]]
        settled_at = await log.settled()
        with pytest.raises(asyncio.CancelledError):
            await asking
        return max([*gone, settled_at]) - left_at

    assert await _best(leave) < WITHIN
    if phase.repeats_after:
        await asyncio.sleep(phase.repeats_after + 0.3)
    await _check_nobody_else_was_asked(way_in, upstream, phase.asked())
    assert log.outcomes() == {("CANCELLED",)}
    for entry in await _settled(ledger, log, at_work=bool(phase.held)):
        assert entry.outcome == "CANCELLED"
        assert entry.prompt_tokens > 0
        assert (entry.completion_tokens > 0) == (phase.begun and streamed)
        assert entry.cost == entry.prompt_tokens * 1_000 + entry.completion_tokens * 3_000


async def test_a_caller_that_does_not_read_leaves(
    way: Entrance, way_in: Door, upstream: ScriptedUpstream, ledger: LedgerFile
) -> None:
    # A whole answer is written when the provider has done with it: there is nobody to be let go.
    log = CallLog(way.deployment)

    async def leave() -> float:
        upstream.reset()
        flood = Flood()
        upstream.on("first", stream(ROLE, HEL, flood, FINISH))
        # As much as it wants: it is not to end because the money that is held for it does.
        body = hello("test/three", stream=True) | {"max_tokens": 10**9}
        let_go = await begin(way_in, body, log.named())
        exchange = await upstream.arrival(1)
        await until_blocked(flood, exchange)

        left_at = time.monotonic()
        let_go()
        gone_at = await exchange.left.wait(5)
        return max(gone_at, await log.settled()) - left_at

    assert await _best(leave) < WITHIN
    await _check_nobody_else_was_asked(way_in, upstream, ["first"])
    assert log.outcomes() == {("CANCELLED",)}
    for entry in await _settled(ledger, log, at_work=True):
        assert entry.completion_tokens > 10_000, "what was received is not what is paid for"


async def test_a_caller_that_leaves_after_the_last_chunk_has_had_its_answer(
    way: Entrance, way_in: Door, upstream: ScriptedUpstream, ledger: LedgerFile
) -> None:
    # The end of a whole answer is the end of the call. Of a stream the provider is not let go: it
    # has said all, and its connection is kept.
    log = CallLog(way.deployment)

    for _ in range(10):
        upstream.reset()
        upstream.on("first", stream(ROLE, HEL, FINISH, USAGE, DONE))
        body = hello("test/three", stream=True)
        let_go = await begin(way_in, body, log.named(), to_the_last=True)
        let_go()
        exchange = await upstream.arrival(1)
        await exchange.done.wait()
        assert exchange.left.at is None
        await log.settled()

    await _check_nobody_else_was_asked(way_in, upstream, ["first"])
    assert log.outcomes() == {("OK",)}
    for entry in await _settled(ledger, log, at_work=True):
        assert entry == ("OK", 12, 3, 12 * 1_000 + 3 * 3_000)


@pytest.mark.parametrize("where", ["hole", "deaf"])
async def test_a_caller_leaves_while_the_provider_does_not_take_the_connection(
    where: str,
    streamed: bool,
    empty: Nobody,
    way: Entrance,
    way_in: Door,
    upstream: ScriptedUpstream,
    ledger: LedgerFile,
) -> None:
    port: int = getattr(empty, where)
    expected = psutil.CONN_SYN_SENT if where == "hole" else psutil.CONN_ESTABLISHED
    service = way.deployment.processes[-1].pid
    log = CallLog(way.deployment)

    async def leave() -> float:
        body = hello(f"test/{where}", stream=streamed)
        asking = asyncio.create_task(way_in.ask(body, headers=log.named()))
        await until(lambda: states(service, port) == [expected])

        left_at = time.monotonic()
        asking.cancel()
        with pytest.raises(asyncio.CancelledError):
            await asking
        gone_at = await until(lambda: expected not in states(service, port))
        return max(gone_at, await log.settled()) - left_at

    assert await _best(leave) < WITHIN
    await _check_nobody_else_was_asked(way_in, upstream, [])
    assert log.outcomes() == {("CANCELLED",)}
    await _settled(ledger, log, at_work=where == "deaf")  # that one has been sent the request


@pytest.mark.parametrize("part", ["head", "body"])
async def test_a_request_that_is_never_whole_is_no_call(
    part: str, streamed: bool, way: Entrance, way_in: Door, upstream: ScriptedUpstream
) -> None:
    log = CallLog(way.deployment)
    process = way.deployment.processes[0].pid

    async def leave() -> float:
        body = hello("test/three", stream=streamed)
        address = way.deployment.grpc if way.kind == "grpc" else way.deployment.http
        with begun_requests(way.kind, address, body, log.named(), part) as connection:
            port = connection.getsockname()[1]
            await asyncio.sleep(BREATH)
            assert states(process, port) == [psutil.CONN_ESTABLISHED]
            left_at = time.monotonic()
        return await until(lambda: not states(process, port)) - left_at

    assert await _best(leave) < WITHIN
    await _check_nobody_else_was_asked(way_in, upstream, [])
    assert log.outcomes() == {()}


async def _settled(ledger: LedgerFile, log: CallLog, *, at_work: bool) -> list[Entry]:
    """What was settled of the calls that were named: one entry each, none if nobody was at work."""
    entries = []
    for request_id in log.ids:
        await until(lambda: ledger.held(request_id) == 0)  # noqa: B023 - over before the next
        found = ledger.entries(request_id)
        assert len(found) == at_work
        entries += found
    return entries


def _reaches(mark: Signal) -> Step:
    async def step(_: Exchange) -> None:
        mark.set()

    return step


async def _best(leave: Callable[[], Awaitable[float]]) -> float:
    took = float("inf")
    for _ in range(TRIES):
        took = min(took, await leave())
        if took < WITHIN:
            break
    return took


async def _check_nobody_else_was_asked(
    door: Door, upstream: ScriptedUpstream, asked: list[str]
) -> None:
    """Asked for another answer: had the call that was left gone on, that would be seen first."""
    upstream.on("fence", unary(says("Hello").body()))
    assert (await door.ask(hello("wild/fence"))).text == "Hello"
    assert [request.model for request in upstream.requests] == [*asked, "fence"]
