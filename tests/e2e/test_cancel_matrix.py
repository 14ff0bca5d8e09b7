"""Whenever the caller leaves, the provider is let go at once, nobody else is asked, and one line of
the log says how the call ended."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
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
KNOWN = 21  # calls after which a target's usual speed is known
BREATH = 0.02  # seconds for what the provider has sent to be read: how deep, not whether, we are


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
    models["test/resuming"] = configuration.model(("alpha", "first"), ("beta", "second"))
    models["test/resuming"]["targets"][1]["continuation"] = True
    return settings


@pytest.fixture(scope="module")
def up(
    _upstream: ScriptedUpstream,
    settings: dict[str, Any],
    tmp_path_factory: pytest.TempPathFactory,
) -> Iterator[Deployment]:
    with deployments.one_process(_upstream, tmp_path_factory.mktemp("up"), settings) as found:
        yield found
        check_end(found)


@pytest.fixture(scope="module")
def beside(
    _upstream: ScriptedUpstream,
    settings: dict[str, Any],
    tmp_path_factory: pytest.TempPathFactory,
) -> Iterator[Deployment]:
    with deployments.sidecar(_upstream, tmp_path_factory.mktemp("beside"), settings) as found:
        yield found
        check_end(found)


@pytest.fixture(params=["grpc", "rest", "sidecar"])
def way(request: pytest.FixtureRequest) -> Entrance:
    """Each way in, in turn."""
    name = "beside" if request.param == "sidecar" else "up"
    return Entrance(request.param, request.getfixturevalue(name))


@pytest.fixture
async def way_in(way: Entrance, upstream: ScriptedUpstream) -> AsyncIterator[Door]:
    async with way.open(KEY) as door:
        yield door


@pytest.mark.parametrize("phase", PHASES, ids=lambda phase: phase.name)
async def test_a_caller_leaves(
    phase: Phase, streamed: bool, way: Entrance, way_in: Door, upstream: ScriptedUpstream
) -> None:
    doing = phase.doing(streamed=streamed)
    if isinstance(doing, str):
        pytest.skip(doing)
    body = hello(phase.model, stream=streamed)
    if phase.continued:
        body["llmbase"] = {"continuation": "allow"}
    if phase.hedged:
        await _make_known(way_in, upstream, body)
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


async def test_a_caller_that_does_not_read_leaves(
    way: Entrance, way_in: Door, upstream: ScriptedUpstream
) -> None:
    # A whole answer is written when the provider has done with it: there is nobody to be let go.
    log = CallLog(way.deployment)

    async def leave() -> float:
        upstream.reset()
        flood = Flood()
        upstream.on("first", stream(ROLE, HEL, flood, FINISH))
        body = hello("test/three", stream=True)
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


async def test_a_caller_that_leaves_after_the_last_chunk_has_had_its_answer(
    way: Entrance, way_in: Door, upstream: ScriptedUpstream
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


@pytest.mark.parametrize("where", ["hole", "deaf"])
async def test_a_caller_leaves_while_the_provider_does_not_take_the_connection(
    where: str,
    streamed: bool,
    empty: Nobody,
    way: Entrance,
    way_in: Door,
    upstream: ScriptedUpstream,
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


def _reaches(mark: Signal) -> Step:
    async def step(_: Exchange) -> None:
        mark.set()

    return step


async def _make_known(door: Door, upstream: ScriptedUpstream, body: dict[str, Any]) -> None:
    """Let the first target's usual speed become known."""
    for _ in range(KNOWN):
        upstream.on("first", says("Hello"))
        upstream.on("second", says("Hello"))  # the odd hedge while the usual is being learned
        assert (await door.ask(body)).complete


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
