"""A gateway beside its service sends its calls over one stream, where it can."""

from __future__ import annotations

import asyncio
import contextlib
import signal
from collections.abc import AsyncIterator
from pathlib import Path

import grpc
import pytest
from grpc_channelz.v1 import channelz_pb2, channelz_pb2_grpc

from tests.support import deployments
from tests.support.asking import hello
from tests.support.config import KEY
from tests.support.deployments import Deployment
from tests.support.openai_wire import says, stream
from tests.support.rest_door import RestDoor
from tests.support.scripted_upstream import ScriptedUpstream
from tests.support.scripts import hold
from tests.support.signals import Signal

CALLS = 20
LARGE = "word " * 60_000  # 300 KB
ROLE, HEL, LO, FINISH, USAGE, DONE = says("Hel", "lo").events()


class Counter:
    """How many gRPC calls the service has had, its own questions left out."""

    def __init__(self, channel: grpc.aio.Channel) -> None:
        self._stub = channelz_pb2_grpc.ChannelzStub(channel)
        self._asked = 0

    async def calls(self) -> int:
        answer = await self._stub.GetServers(channelz_pb2.GetServersRequest())
        self._asked += 1
        return sum(server.data.calls_started for server in answer.server) - self._asked

    async def of(self, door: RestDoor, text: str = "Hello", times: int = 1) -> int:
        """How many the service has for so many calls of the gateway."""
        before = await self.calls()
        for _ in range(times):
            body = hello(messages=[{"role": "user", "content": text}])
            answer = await door.ask(body)
            assert answer.complete, answer.failure
        return await self.calls() - before

    async def until_relayed(self, door: RestDoor) -> None:
        async with asyncio.timeout(30):
            while await self.of(door):
                pass


@contextlib.asynccontextmanager
async def counting(deployment: Deployment) -> AsyncIterator[tuple[RestDoor, Counter]]:
    async with (
        RestDoor(deployment.http, KEY) as door,
        grpc.aio.insecure_channel(deployment.grpc) as channel,
    ):
        yield door, Counter(channel)


async def test_calls_share_a_stream_large_requests_too(
    sidecar: Deployment, upstream: ScriptedUpstream
) -> None:
    upstream.on("one", says("Hello"))
    async with counting(sidecar) as (door, counter):
        await counter.until_relayed(door)
        assert await counter.of(door, times=CALLS) == 0
        assert await counter.of(door, LARGE, times=3) == 0
        assert await counter.of(door, times=CALLS) == 0


async def test_without_the_relay_each_is_a_call_of_its_own(
    upstream: ScriptedUpstream, tmp_path: Path
) -> None:
    upstream.on("one", says("Hello"))
    off = {"LLMBASE_RELAY": "off"}
    with deployments.sidecar(upstream, tmp_path, environment=off) as deployment:
        async with counting(deployment) as (door, counter):
            assert await counter.of(door, times=CALLS) == CALLS


@pytest.mark.parametrize("end", [signal.SIGKILL, signal.SIGTERM])
async def test_a_service_that_goes_under_open_streams_ends_them_as_it_should(
    upstream: ScriptedUpstream, tmp_path: Path, end: signal.Signals
) -> None:
    go_on, first = Signal(), Signal()
    upstream.on("one", stream(ROLE, HEL, hold(go_on), LO, FINISH, USAGE, DONE))
    with deployments.sidecar(upstream, tmp_path) as deployment:
        _, service = deployment.processes
        async with RestDoor(deployment.http, KEY) as door:
            asking = asyncio.create_task(door.ask(hello(stream=True), first=first))
            await first.wait()
            service.send(end)
            if end is signal.SIGKILL:
                answer = await asyncio.wait_for(asking, 30)
                assert (answer.text, answer.code) == ("Hel", "service_unavailable")
            else:
                go_on.set()
                answer = await asyncio.wait_for(asking, 30)
                assert answer.complete
                assert answer.text == "Hello"
                # It is not held back by a stream that lingers.
                assert await asyncio.wait_for(asyncio.to_thread(service.wait), 10) == 0
