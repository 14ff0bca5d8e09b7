"""The gRPC door as it is configured: what tools may ask, how old connections get, who may ping.

Ages and pings are gRPC core's own: only real connections show them.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import signal
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import grpc
import pytest
from grpc_channelz.v1 import channelz_pb2, channelz_pb2_grpc
from grpc_health.v1 import health_pb2, health_pb2_grpc
from grpc_reflection.v1alpha import reflection_pb2_grpc

from tests.support import config
from tests.support.asking import hello
from tests.support.config import KEY
from tests.support.failures import from_rpc_error
from tests.support.grpc_door import GrpcDoor
from tests.support.openai_wire import says, stream
from tests.support.processes import Process, running
from tests.support.proto_request import proto_request
from tests.support.scripted_upstream import ScriptedUpstream
from tests.support.scripts import hold
from tests.support.signals import Signal

CHAT = "/llmbase.v1.ChatCompletionService/"
STATUSES = health_pb2.HealthCheckResponse
ROLE, HEL, LO, FINISH, USAGE, DONE = says("Hel", "lo").events()


@contextlib.contextmanager
def service(
    upstream: ScriptedUpstream, directory: Path, **server: Any
) -> Iterator[tuple[Process, str]]:
    path = config.write(config.standard(upstream, **server), directory)
    with running("service", "--config", str(path), directory=directory) as process:
        yield process, process.wait_until_ready()[1]
        assert process.stop() == 0, process.log
        assert "Traceback" not in process.log


async def test_reflection_and_channelz_can_be_switched_off(
    upstream: ScriptedUpstream, tmp_path: Path
) -> None:
    with service(upstream, tmp_path, reflection=False, channelz=False) as (_, target):
        async with grpc.aio.insecure_channel(target) as channel:
            reflecting = reflection_pb2_grpc.ServerReflectionStub(channel).ServerReflectionInfo()
            # Nothing is written: grpc.aio calls it INTERNAL when a refusal overtakes a write.
            with pytest.raises(grpc.aio.AioRpcError) as refused:
                async with asyncio.timeout(30):
                    await reflecting.read()
            assert refused.value.code() is grpc.StatusCode.UNIMPLEMENTED
            with pytest.raises(grpc.aio.AioRpcError) as refused:
                stub = channelz_pb2_grpc.ChannelzStub(channel)
                await stub.GetServers(channelz_pb2.GetServersRequest())
            assert refused.value.code() is grpc.StatusCode.UNIMPLEMENTED


async def test_who_watches_health_is_told_of_a_drain(
    upstream: ScriptedUpstream, tmp_path: Path
) -> None:
    go_on = Signal()
    upstream.on("one", stream(ROLE, HEL, hold(go_on), LO, FINISH, USAGE, DONE))
    with service(upstream, tmp_path) as (process, target):
        async with GrpcDoor(target, KEY) as door, grpc.aio.insecure_channel(target) as channel:
            begun = Signal()
            running = asyncio.create_task(door.ask(hello(stream=True), first=begun))
            await begun.wait()
            watch = health_pb2_grpc.HealthStub(channel).Watch(
                health_pb2.HealthCheckRequest(service="llmbase.v1.ChatCompletionService")
            )
            assert (await watch.read()).status == STATUSES.SERVING
            process.send(signal.SIGTERM)
            assert (await watch.read()).status == STATUSES.NOT_SERVING
            go_on.set()
            assert (await running).text == "Hello"


@pytest.mark.parametrize("method", ["CreateChatCompletion", "StreamChatCompletion"])
async def test_bytes_that_are_no_message_are_the_callers_fault(
    method: str, upstream: ScriptedUpstream, tmp_path: Path
) -> None:
    with service(upstream, tmp_path) as (process, target):
        async with grpc.aio.insecure_channel(target) as channel:
            metadata = (("authorization", f"Bearer {KEY}"),)
            with pytest.raises(grpc.aio.AioRpcError) as refused:
                if method.startswith("Create"):
                    await channel.unary_unary(CHAT + method)(b"\xff\xff", metadata=metadata)
                else:
                    call = channel.unary_stream(CHAT + method)(b"\xff\xff", metadata=metadata)
                    async for _ in call:
                        pass
        assert refused.value.code() is grpc.StatusCode.INVALID_ARGUMENT
        failure = from_rpc_error(refused.value)
        assert (failure.status, failure.type) == (400, "invalid_request_error")
        lines = [json.loads(line) for line in process.log.splitlines()]
        assert [line for line in lines if line["level"] == "error"] == []


async def test_an_open_stream_outlives_its_connection_and_later_calls_are_on_a_new_one(
    upstream: ScriptedUpstream, tmp_path: Path
) -> None:
    go_on = Signal()
    upstream.on("one", stream(ROLE, HEL, hold(go_on), LO, FINISH, USAGE, DONE))
    with service(upstream, tmp_path, connections={"max_age": "300ms"}) as (_, target):
        async with GrpcDoor(target, KEY) as door:
            begun = Signal()
            running = asyncio.create_task(door.ask(hello(stream=True), first=begun))
            await begun.wait()
            peers = {await _local_port(door)}
            async with asyncio.timeout(20):
                while len(peers) < 3:
                    await asyncio.sleep(0.05)
                    peers.add(await _local_port(door))
            assert not running.done()
            go_on.set()
            answer = await running
    assert answer.complete and answer.text == "Hello"


async def _local_port(door: GrpcDoor) -> int:
    """The newest connection, as the server knows it; to ask is a call on it."""
    stub = channelz_pb2_grpc.ChannelzStub(door.channel)
    server = (await stub.GetServers(channelz_pb2.GetServersRequest())).server[0]
    request = channelz_pb2.GetServerSocketsRequest(server_id=server.ref.server_id)
    return int(max(ref.socket_id for ref in (await stub.GetServerSockets(request)).socket_ref))


async def test_a_client_that_pings_too_often_is_told_to_calm_down(
    upstream: ScriptedUpstream, tmp_path: Path
) -> None:
    eager = (
        ("grpc.keepalive_time_ms", 100),
        ("grpc.keepalive_permit_without_calls", 1),
        ("grpc.http2.max_pings_without_data", 0),
    )
    upstream.on("one", stream(ROLE, HEL, hold(Signal())))
    with service(upstream, tmp_path, connections={"min_ping_interval": "1m"}) as (_, target):
        async with GrpcDoor(target, KEY, eager) as door:
            call = door.chat.StreamChatCompletion(
                proto_request(hello(stream=True)), metadata=door.metadata()
            )
            with pytest.raises(grpc.aio.AioRpcError) as ended:
                async for _ in call:
                    pass
    assert ended.value.code() is grpc.StatusCode.UNAVAILABLE
