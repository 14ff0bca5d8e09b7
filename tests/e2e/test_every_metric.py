"""Every metric of the list is read by doing what it counts: nothing in the list is a promise."""

from __future__ import annotations

import asyncio
import sqlite3
from collections.abc import Awaitable, Callable, Iterator
from contextlib import closing
from pathlib import Path

import pytest

from telemetry.metrics import METRICS
from tests.support.asking import hello
from tests.support.books import AT, Clock, Process, a_reservation, a_settlement, fresh
from tests.support.config import KEY
from tests.support.metrics_page import counted
from tests.support.metrics_scene import LIMITED, PAYING, PLACES, Scene, scene
from tests.support.openai_wire import refuses, says, stream
from tests.support.rest_door import RestDoor
from tests.support.scripted_upstream import ScriptedUpstream
from tests.support.scripts import pause
from tests.support.valkey import Valkey

Case = Callable[[Scene], Awaitable[None]]
CASES: dict[str, Case] = {}
ROLE, HEL, LO, *END = says("Hel", "lo").events()
TOLD = {"prompt_tokens": 10, "completion_tokens": 5, "total_tokens": 15} | {
    "prompt_tokens_details": {"cached_tokens": 4},
    "completion_tokens_details": {"reasoning_tokens": 2},
}


def of(name: str) -> Callable[[Case], Case]:
    """The case of a metric."""

    def keep(case: Case) -> Case:
        CASES[name] = case
        return case

    return keep


@pytest.fixture(scope="module")
def _scene(
    _upstream: ScriptedUpstream, _valkey: Valkey, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Scene]:
    with scene(_upstream, _valkey, tmp_path_factory.mktemp("scene")) as made:
        yield made


def test_every_metric_of_the_list_has_a_case() -> None:
    assert sorted(CASES) == sorted(metric.name for metric in METRICS)


@pytest.mark.parametrize("name", [metric.name for metric in METRICS])
async def test_what_it_counts_moves_it(
    name: str, _scene: Scene, upstream: ScriptedUpstream
) -> None:
    upstream.on("one", says("Hi", usage=TOLD))
    await CASES[name](_scene)


@of("llmbase_calls_total")
async def _calls(it: Scene) -> None:
    async with it.rises("llmbase_calls_total", "CreateChatCompletion", "OK"):
        await it.ask()


@of("llmbase_model_calls_total")
async def _model_calls(it: Scene) -> None:
    async with (
        it.rises("llmbase_model_calls_total", "test/one", "OK"),
        it.rises("llmbase_model_calls_total", "other", "MODEL_NOT_FOUND"),
    ):
        await it.ask()
        await it.ask("no/such")


@of("llmbase_call_seconds")
async def _call_seconds(it: Scene) -> None:
    it.upstream.on("one", stream(ROLE, HEL, pause(0.1), LO, *END))
    async with (
        it.rises("llmbase_call_seconds_count", "StreamChatCompletion"),
        it.rises("llmbase_call_seconds_sum", "StreamChatCompletion", by=lambda s: 0.1 < s < 10),
    ):
        await it.ask(stream=True)


@of("llmbase_first_content_seconds")
async def _first_content(it: Scene) -> None:
    it.upstream.on("one", stream(ROLE, pause(0.1), HEL, LO, *END))
    async with (
        it.rises("llmbase_first_content_seconds_count", "test/one"),
        it.rises("llmbase_first_content_seconds_sum", "test/one", by=lambda s: 0.1 < s < 10),
    ):
        await it.ask(stream=True)


@of("llmbase_chunk_gap_seconds")
async def _chunk_gap(it: Scene) -> None:
    it.upstream.on("one", stream(ROLE, HEL, pause(0.1), LO, pause(0.1), *END))
    async with (
        it.rises("llmbase_chunk_gap_seconds_count", "test/one", by=lambda n: n == 1),
        it.rises("llmbase_chunk_gap_seconds_sum", "test/one", by=lambda s: 0.09 < s < 5),
    ):
        await it.ask(stream=True)


@of("llmbase_overhead_seconds")
async def _overhead(it: Scene) -> None:
    it.upstream.on("one", stream(ROLE, pause(1.5), HEL, LO, *END))
    name = "llmbase_overhead_seconds"
    async with (
        it.rises(f"{name}_count", "StreamChatCompletion"),
        it.rises(f"{name}_sum", "StreamChatCompletion", by=lambda s: 0 < s < 1.5),
    ):
        await it.ask(stream=True)


@of("llmbase_active_streams")
async def _active_streams(it: Scene) -> None:
    await _is_one_while_a_stream_is_open(it, "llmbase_active_streams")


@of("llmbase_in_flight_calls")
async def _in_flight(it: Scene) -> None:
    await _is_one_while_a_stream_is_open(it, "llmbase_in_flight_calls")


@of("llmbase_in_flight_limit")
async def _in_flight_limit(it: Scene) -> None:
    assert it.value("llmbase_in_flight_limit") == PLACES


@of("llmbase_queued_calls")
async def _queued(it: Scene) -> None:
    async with it.open_stream():
        async with it.open_stream():
            waiting = asyncio.create_task(it.ask())
            await it.until(lambda: it.value("llmbase_queued_calls", "interactive") == 1)
        await waiting
    assert it.value("llmbase_queued_calls", "interactive") == 0


@of("llmbase_queue_seconds")
async def _queue_seconds(it: Scene) -> None:
    name = "llmbase_queue_seconds_sum"
    async with it.rises(name, "interactive", by=lambda s: s > 0.1), it.open_stream():
        async with it.open_stream():
            waiting = asyncio.create_task(it.ask())
            await it.until(lambda: it.value("llmbase_queued_calls", "interactive") == 1)
            await asyncio.sleep(0.1)
        await waiting


@of("llmbase_replays_total")
async def _replays(it: Scene) -> None:
    async with it.rises("llmbase_replays_total", "kept"), RestDoor(it.deployment.http, KEY) as door:
        for _ in range(2):
            await door.ask(hello(), headers={"Idempotency-Key": "the-same"})


@of("llmbase_ignored_parameters_total")
async def _ignored(it: Scene) -> None:
    async with it.rises("llmbase_ignored_parameters_total", "other"):
        await it.ask(made_up_by_a_caller=1)


@of("llmbase_attempts_total")
async def _attempts(it: Scene) -> None:
    it.upstream.on("first", refuses(500))
    it.upstream.on("second", says("Hi"))
    async with (  # labels in the order of their names: outcome, provider, purpose
        it.rises("llmbase_attempts_total", "status", "alpha", "original", by=lambda n: n == 1),
        it.rises("llmbase_attempts_total", "answered", "beta", "original", by=lambda n: n == 1),
    ):
        await it.ask("test/two")


@of("llmbase_fallbacks_total")
async def _fallbacks(it: Scene) -> None:
    it.upstream.on("gone", refuses(500))
    it.upstream.on("understudy", says("Hi"))
    async with it.rises("llmbase_fallbacks_total", "test/gone"):
        await it.ask("test/gone")


@of("llmbase_breaker_targets")
async def _breakers(it: Scene) -> None:
    it.upstream.on("frail", refuses(500), refuses(500))
    async with it.rises("llmbase_breaker_targets", "frail", "open", by=lambda n: n == 1):
        for _ in range(2):
            await it.ask("test/frail")
    assert it.value("llmbase_breaker_targets", "alpha", "closed") > 0


@of("llmbase_retry_budget_level")
async def _retry_budget(it: Scene) -> None:
    it.upstream.on("again", refuses(500), says("Hi"))
    before = it.value("llmbase_retry_budget_level", "gamma") or 10
    async with it.rises("llmbase_attempts_total", "answered", "gamma", "repeat"):
        await it.ask("test/again")
    assert it.value("llmbase_retry_budget_level", "gamma") < before


@of("llmbase_provider_alerts_total")
async def _provider_alerts(it: Scene) -> None:
    it.upstream.on("one", refuses(401))
    async with it.rises("llmbase_provider_alerts_total", "alpha", "401"):
        await it.ask()


@of("llmbase_provider_unknown_total")
async def _provider_unknown(it: Scene) -> None:
    it.upstream.on("one", says("Hi", finish="a_new_way_to_end"))
    async with it.rises("llmbase_provider_unknown_total", "enum", "alpha"):
        await it.ask()


@of("llmbase_tokens_total")
async def _tokens(it: Scene) -> None:
    name, model = "llmbase_tokens_total", "test/one"
    async with (
        it.rises(name, model, "input", by=lambda n: n == 6),
        it.rises(name, model, "cache_read", by=lambda n: n == 4),
        it.rises(name, model, "output", by=lambda n: n == 3),
        it.rises(name, model, "reasoning", by=lambda n: n == 2),
    ):
        await it.ask()


@of("llmbase_charged_nanodollars_total")
async def _charged(it: Scene) -> None:
    async with it.rises(
        "llmbase_charged_nanodollars_total", "test/one", by=lambda n: n == 10 * 1000 + 5 * 3000
    ):
        await it.ask(key=PAYING)


@of("llmbase_provider_cost_nanodollars_total")
async def _provider_cost(it: Scene) -> None:
    name = "llmbase_provider_cost_nanodollars_total"
    async with it.rises(name, "alpha", by=lambda n: n == 10 * 1000 + 5 * 3000):
        await it.ask()


@of("llmbase_reservations")
async def _reservations(it: Scene) -> None:
    await it.until(lambda: it.value("llmbase_reservations") == 0)
    async with it.open_stream(PAYING):
        assert it.value("llmbase_reservations") == 1
    await it.until(lambda: it.value("llmbase_reservations") == 0)


@of("llmbase_reservation_used_ratio")
async def _reservation_used(it: Scene) -> None:
    async with it.rises("llmbase_reservation_used_ratio_count"):
        await it.ask(key=PAYING, max_tokens=10)


@of("llmbase_excess_nanodollars_total")
async def _excess(it: Scene) -> None:
    much = {"prompt_tokens": 10, "completion_tokens": 90_000, "total_tokens": 90_010}
    it.upstream.on("one", says("Hi", usage=much))
    async with it.rises("llmbase_excess_nanodollars_total"):
        await it.ask(key=PAYING, max_tokens=10)


@of("llmbase_reservations_lapsed_total")
async def _lapsed(it: Scene) -> None:
    url = f"sqlite:///{it.directory}/lapsing.db"
    async with fresh(url, acme=1000), Process(url, it.directory / "one") as dead:
        await dead.reservations.reserve(a_reservation(10))
        later = Process(url, it.directory / "two", clock=Clock(AT + 601.0))
        async with later:
            await later.reservations.renewal.lapse()
            assert counted(later.metrics.render(), "llmbase_reservations_lapsed_total") == {(): 1}


@of("llmbase_settlements_total")
async def _settlements(it: Scene) -> None:
    async with it.rises("llmbase_settlements_total"):
        await it.ask(key=PAYING)


@of("llmbase_settlements_spooled_total")
async def _spooled(it: Scene) -> None:
    async with it.rises("llmbase_settlements_spooled_total"):
        with closing(_locked(it.directory / "books.db")):
            await it.ask()
            await it.until(lambda: it.value("llmbase_settlements_spooled_total") > 0)


@of("llmbase_ledger_queue")
async def _ledger_queue(it: Scene) -> None:
    with closing(_locked(it.directory / "books.db")):
        await it.ask()
        await it.until(lambda: it.value("llmbase_ledger_queue") > 0)
    await it.until(lambda: it.value("llmbase_ledger_queue") == 0)


@of("llmbase_ledger_refused_total")
async def _ledger_refused(it: Scene) -> None:
    url = f"sqlite:///{it.directory}/refusing.db"
    async with fresh(url, acme=1000), Process(url, it.directory / "refusing") as process:
        unknown = a_reservation(10, "nobody")
        process.ledger.settle(a_settlement(unknown, 5))
        await process.ledger.flush()
        assert counted(process.metrics.render(), "llmbase_ledger_refused_total") == {(): 1}


@of("llmbase_store_transaction_seconds")
async def _store_transaction(it: Scene) -> None:
    async with (
        it.rises("llmbase_store_transaction_seconds_count", "reserve"),
        it.rises("llmbase_store_transaction_seconds_count", "settle"),
    ):
        await it.ask(key=PAYING)


@of("llmbase_limiter_refusals_total")
async def _limiter_refusals(it: Scene) -> None:
    async with it.rises("llmbase_limiter_refusals_total", "requests"):
        for _ in range(2):
            await it.ask(key=LIMITED)


@of("llmbase_limiter_seconds")
async def _limiter_seconds(it: Scene) -> None:
    async with it.rises("llmbase_limiter_seconds_count"):
        await it.ask(key=LIMITED)


@of("llmbase_limiter_away")
async def _limiter_away(it: Scene) -> None:
    assert it.value("llmbase_limiter_away") == 0
    it.valkey.stop()
    try:
        for _ in range(4):
            await it.ask(key=LIMITED)
        assert it.value("llmbase_limiter_away") == 1
    finally:
        it.valkey.start()


@of("llmbase_config_generation")
async def _config_generation(it: Scene) -> None:
    async with it.rises("llmbase_config_generation", by=lambda n: n == 1):
        it.rewrite(lambda config: config["server"].update(drain="6s"))


@of("llmbase_config_reloads_total")
async def _config_reloads(it: Scene) -> None:
    async with it.rises("llmbase_config_reloads_total", "refused"):
        it.rewrite(lambda config: config["server"].update(drian="6s"))
    async with it.rises("llmbase_config_reloads_total", "applied"):
        it.rewrite(lambda config: config.update(server={"drain": "7s"}))


@of("llmbase_http_requests_total")
async def _http_requests(it: Scene) -> None:
    name = "llmbase_http_requests_total"
    async with (
        it.rises(name, "200", "/v1/models"),
        it.rises(name, "404", "other"),
        RestDoor(it.deployment.http, KEY) as door,
    ):
        await door.get("/v1/models")
        await door.get("/v1/a-path-of-the-callers-own")


@of("llmbase_http_active_streams")
async def _http_active_streams(it: Scene) -> None:
    await _is_one_while_a_stream_is_open(it, "llmbase_http_active_streams")


@of("llmbase_http_overhead_seconds")
async def _http_overhead(it: Scene) -> None:
    name = "llmbase_http_overhead_seconds"
    it.upstream.on("one", stream(ROLE, pause(1.5), HEL, LO, *END))
    async with (
        it.rises(f"{name}_count", "stream"),
        it.rises(f"{name}_sum", "stream", by=lambda s: 0 < s < 1.5),
    ):
        await it.ask(stream=True)


async def _is_one_while_a_stream_is_open(it: Scene, name: str) -> None:
    await it.until(lambda: it.value(name) == 0)
    async with it.open_stream():
        assert it.value(name) == 1
    await it.until(lambda: it.value(name) == 0)


def _locked(store: Path) -> sqlite3.Connection:
    """The store, with nobody else able to write until this is closed."""
    connection = sqlite3.connect(store, timeout=10, isolation_level=None)
    connection.execute("BEGIN IMMEDIATE")
    return connection
