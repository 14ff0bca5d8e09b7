"""SIGTERM: open calls finish, new ones are refused, and the probes say so at once."""

from __future__ import annotations

import asyncio
import contextlib
import signal
import time
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import AbstractContextManager
from pathlib import Path

import grpc
import pytest
from grpc_health.v1 import health_pb2, health_pb2_grpc

from tests.conftest import Door, Entrance
from tests.support import config, deployments
from tests.support.answers import Answer
from tests.support.asking import hello
from tests.support.config import KEY
from tests.support.deployments import Deployment
from tests.support.openai_wire import says, stream, unary
from tests.support.processes import Process
from tests.support.rest_door import RestDoor
from tests.support.scripted_upstream import ScriptedUpstream
from tests.support.scripts import Script, hold, stall
from tests.support.signals import Signal

ROLE, HEL, LO, FINISH, USAGE, DONE = says("Hel", "lo").events()
SHORT, LONG = "600ms", "20s"
Start = Callable[[str], AbstractContextManager[Deployment]]


@pytest.fixture(params=["grpc", "rest", "sidecar"])
def kind(request: pytest.FixtureRequest) -> str:
    """Each way in, in turn; the processes behind it are a test's own here."""
    return str(request.param)


@pytest.fixture
def start(kind: str, upstream: ScriptedUpstream, tmp_path: Path) -> Start:
    """Starts the product with a time to drain."""

    @contextlib.contextmanager
    def start(drain: str) -> Iterator[Deployment]:
        settings = config.standard(upstream, drain=drain)
        shape = deployments.sidecar if kind == "sidecar" else deployments.one_process
        with shape(upstream, tmp_path, settings) as deployment:
            yield deployment

    return start


def _that_drains(deployment: Deployment) -> Process:
    """The process whose callers are to see how it drains: the first they meet."""
    return deployment.processes[0]


@contextlib.asynccontextmanager
async def _asking(
    kind: str, deployment: Deployment, *, streamed: bool
) -> AsyncIterator[tuple[Door, asyncio.Task[Answer]]]:
    """A door, and a call through it that has reached the provider."""
    async with Entrance(kind, deployment).open(KEY) as door:
        begun = Signal()
        task = asyncio.create_task(door.ask(hello(stream=streamed), first=begun))
        await deployment.upstream.arrival(1)
        if streamed:
            await begun.wait()
        yield door, task


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
async def test_open_calls_finish_and_new_ones_are_refused(
    number: signal.Signals, kind: str, start: Start, streamed: bool, upstream: ScriptedUpstream
) -> None:
    go_on = Signal()
    rest = (hold(go_on), LO, FINISH, USAGE, DONE)
    whole = unary(says("Hel", "lo").body())
    held = Script(whole.pieces, headers=whole.headers, before=[hold(go_on)])
    upstream.on("one", stream(ROLE, HEL, *rest) if streamed else held)

    with start(LONG) as deployment:
        async with _asking(kind, deployment, streamed=streamed) as (door, task):
            process = _that_drains(deployment)
            process.send(number)
            await _until_not_ready(kind, deployment)

            refused = await door.ask(hello("test/two", stream=streamed))

            failure = refused.failure
            assert failure is not None
            assert (failure.status, failure.type, failure.code) == (
                503,
                "server_error",
                "service_unavailable",
            )
            assert failure.retry_after is not None and failure.retry_after >= 1
            assert process.exit_code is None
            go_on.set()
            answer = await task

        assert answer.complete
        assert (answer.text, answer.finish) == ("Hello", "stop")
        assert await asyncio.to_thread(process.wait) == 0
        assert [request.model for request in upstream.requests] == ["one"]


async def test_calls_that_outlast_the_time_to_drain_are_ended_with_an_error(
    kind: str, start: Start, streamed: bool, upstream: ScriptedUpstream
) -> None:
    upstream.on("one", stream(ROLE, HEL, stall) if streamed else Script(before=[stall]))

    with start(SHORT) as deployment:
        # The sidecar's gateway waits for its service, which is the one that gives up.
        process = deployment.processes[-1]
        async with _asking(kind, deployment, streamed=streamed) as (_, task):
            began = time.monotonic()
            process.send(signal.SIGTERM)
            answer = await task

        failure = answer.failure
        assert failure is not None
        assert (failure.status, failure.code) == (503, "service_unavailable")
        assert failure.retry_after is not None or (streamed and kind != "grpc")
        assert not answer.complete
        assert answer.text == ("Hel" if streamed else None)
        assert await asyncio.to_thread(process.wait) == 0
        assert time.monotonic() - began < 5
        await upstream.exchanges[0].left.wait(timeout=5)


async def test_an_idle_process_ends_at_once(kind: str, start: Start) -> None:
    with start(LONG) as deployment:
        for process in deployment.processes:
            began = time.monotonic()
            process.send(signal.SIGTERM)
            assert await asyncio.to_thread(process.wait) == 0
            assert time.monotonic() - began < 3


async def test_a_gateway_is_not_ready_once_its_service_drains(
    upstream: ScriptedUpstream, tmp_path: Path
) -> None:
    go_on = Signal()
    upstream.on("one", stream(ROLE, HEL, hold(go_on), LO, FINISH, USAGE, DONE))
    settings = config.standard(upstream, drain=LONG)

    with deployments.sidecar(upstream, tmp_path, settings) as deployment:
        _, service = deployment.processes
        async with _asking("sidecar", deployment, streamed=True) as (door, task):
            service.send(signal.SIGTERM)
            await _until_not_ready("sidecar", deployment)
            refused = await door.ask(hello("test/two"))
            go_on.set()
            answer = await task

    assert refused.code == "service_unavailable"
    assert answer.complete and answer.text == "Hello"


async def _until_not_ready(kind: str, deployment: Deployment) -> None:
    """Ask the door's probe until it says no. "At once" leaves it a second."""
    async with asyncio.timeout(1):
        if kind == "grpc":
            async with grpc.aio.insecure_channel(deployment.grpc) as channel:
                stub = health_pb2_grpc.HealthStub(channel)
                request = health_pb2.HealthCheckRequest()
                serving = health_pb2.HealthCheckResponse.SERVING
                while (await stub.Check(request)).status == serving:
                    pass
        else:
            async with RestDoor(deployment.http, None) as door:
                while (await door.get("/readyz")).status == 200:
                    pass
