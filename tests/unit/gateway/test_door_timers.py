"""The timers of an open door, met by clients on a real socket in virtual time.

The service is in process and the socket a Unix socket: both ends of everything are in one loop.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from grpc_health.v1 import health_pb2, health_pb2_grpc
from llmbase.v1 import account_pb2, model_pb2
from llmbase.v1 import chat_completion_pb2 as pb
from llmbase.v1.account_pb2_grpc import (
    AccountServiceServicer,
    add_AccountServiceServicer_to_server,
)
from llmbase.v1.chat_completion_pb2_grpc import (
    ChatCompletionServiceServicer,
    add_ChatCompletionServiceServicer_to_server,
)
from llmbase.v1.model_pb2_grpc import ModelServiceServicer, add_ModelServiceServicer_to_server

from channel.in_process import InProcessServer
from gateway.app import Settings, build_app
from gateway.door import Door, start_http
from tests.unit.gateway.scripted_service import CHAT, completion, first, last
from tests.unit.virtual_time import in_virtual_time, now

UNARY = b'{"model": "m", "messages": [{"role": "user", "content": "Hi"}]}'
STREAM = UNARY.replace(b"{", b'{"stream": true, ', 1)


class _Slow(
    ChatCompletionServiceServicer,
    ModelServiceServicer,
    AccountServiceServicer,
    health_pb2_grpc.HealthServicer,
):
    """Takes so many seconds for any answer; a stream has begun before."""

    def __init__(self, seconds: float) -> None:
        self.seconds = seconds

    async def CreateChatCompletion(self, *_: Any) -> pb.ChatCompletion:  # noqa: N802
        await asyncio.sleep(self.seconds)
        return completion()

    async def StreamChatCompletion(self, *_: Any) -> AsyncIterator[pb.ChatCompletionChunk]:  # noqa: N802
        yield first()
        await asyncio.sleep(self.seconds)
        yield last()

    async def ListModels(self, *_: Any) -> model_pb2.ListModelsResponse:  # noqa: N802
        await asyncio.sleep(self.seconds)
        return model_pb2.ListModelsResponse()

    async def GetBalance(self, *_: Any) -> account_pb2.Balance:  # noqa: N802
        await asyncio.sleep(self.seconds)
        return account_pb2.Balance()

    async def Check(self, *_: Any) -> health_pb2.HealthCheckResponse:  # noqa: N802
        await asyncio.sleep(self.seconds)
        return health_pb2.HealthCheckResponse(status="SERVING")


@dataclass(frozen=True)
class _Answer:
    """What came until the connection was closed; when it began to, and when that was."""

    begun: float
    at: float
    data: bytes

    @property
    def status(self) -> int:
        return int(self.data.split(b" ", 2)[1])


@asynccontextmanager
async def open_door(directory: Path, seconds: float) -> AsyncIterator[Door]:
    """Open a door with the settings of nobody before a service that takes so long."""
    server, slow = InProcessServer(), _Slow(seconds)
    add_ChatCompletionServiceServicer_to_server(slow, server)
    add_ModelServiceServicer_to_server(slow, server)
    add_AccountServiceServicer_to_server(slow, server)
    health_pb2_grpc.add_HealthServicer_to_server(slow, server)
    door = await start_http(build_app(server.channel(), Settings()), f"unix:{directory}/door")
    try:
        yield door
    finally:
        await door.stop(0)
        await server.stop(None)


async def send(door: Door, data: bytes) -> _Answer:
    """Send bytes on a connection of their own, and read until it is closed."""
    reader, writer = await asyncio.open_unix_connection(str(door.address).removeprefix("unix:"))
    try:
        writer.write(data)
        data, begun = await reader.read(1), now()
        data += await reader.read()
        return _Answer(begun, now(), data)
    finally:
        writer.close()


def request(path: str, body: bytes = b"", *headers: str, length: int | None = None) -> bytes:
    said = len(body) if length is None else length
    lines = [f"{'POST' if said else 'GET'} {path} HTTP/1.1", "Host: x", *headers]
    lines += ["Connection: close", "Content-Type: application/json", f"Content-Length: {said}"]
    return "\r\n".join(lines).encode() + b"\r\n\r\n" + body


@pytest.mark.parametrize(("seconds", "expected"), [(2.5, (2.5, 200)), (10**6, (3, 503))])
@in_virtual_time
async def test_a_service_has_three_seconds_to_say_that_it_serves(tmp_path, seconds, expected):
    async with open_door(tmp_path, seconds) as door:
        answer = await send(door, request("/readyz"))
        assert (answer.at, answer.status) == expected


@pytest.mark.parametrize(
    ("path", "body"), [(CHAT, UNARY), ("/v1/models", b""), ("/v1/balance", b"")]
)
@in_virtual_time
async def test_a_callers_deadline_is_kept_whatever_it_asks_for(tmp_path, path, body):
    async with open_door(tmp_path, 1000) as door:
        answer = await send(door, request(path, body, "X-Request-Timeout: 42.5"))
        assert (answer.at, answer.status) == (42.5, 504)


@in_virtual_time
async def test_a_callers_deadline_ends_a_stream_that_is_silent_and_is_kept_open(tmp_path):
    async with open_door(tmp_path, 1000) as door:
        answer = await send(door, request(CHAT, STREAM, "X-Request-Timeout: 42.5"))
        assert (answer.at, answer.status) == (42.5, 200)
        assert b"deadline_exceeded" in answer.data
        assert answer.data.count(b"\n: ") == 2  # one each fifteen seconds


@in_virtual_time
async def test_a_body_has_a_minute_to_come(tmp_path):
    async with open_door(tmp_path, 0) as door:
        answer = await send(door, request(CHAT, b"{", length=100))
        assert (answer.begun, answer.status) == (60, 408)


@pytest.mark.parametrize("begun", [b"", b"GET /livez HTTP/1.1\r\nHost: x\r\n"])
@in_virtual_time
async def test_a_connection_without_a_whole_request_is_closed(tmp_path, begun):
    async with open_door(tmp_path, 0) as door:
        assert (await send(door, begun)).at == 75


@in_virtual_time
async def test_a_connection_is_kept_for_as_long_after_a_request(tmp_path):
    async with open_door(tmp_path, 0) as door:
        answer = await send(door, b"GET /livez HTTP/1.1\r\nHost: x\r\n\r\n")
        assert (answer.at, answer.status) == (75, 200)


@in_virtual_time
async def test_a_door_that_closes_serves_for_its_notice_and_waits_for_its_grace(tmp_path):
    async with open_door(tmp_path, 1000) as door:
        chats = [asyncio.create_task(send(door, request(CHAT, it))) for it in (UNARY, STREAM)]
        await asyncio.sleep(0.1)
        closing = asyncio.create_task(door.stop(30, notice=10))
        await asyncio.sleep(9)
        late = asyncio.create_task(send(door, request(CHAT, UNARY)))
        assert (await send(door, request("/readyz"))).status == 503
        await asyncio.sleep(2)
        refused = await send(door, request(CHAT, UNARY))
        assert (refused.at, refused.status) == (pytest.approx(11.1), 503)
        await closing
        unary, streamed, late = [await it for it in (*chats, late)]
        assert [unary.status, streamed.status, late.status] == [503, 200, 503]
        assert b"service_unavailable" in streamed.data
        assert [it.at for it in (unary, streamed, late)] == [pytest.approx(40.1)] * 3
        assert now() == pytest.approx(40.1)


@in_virtual_time
async def test_what_is_no_chat_has_two_seconds_more_when_the_door_closes(tmp_path):
    async with open_door(tmp_path, 1000) as door:
        asking = asyncio.create_task(send(door, request("/v1/models")))
        await asyncio.sleep(1)
        await door.stop(30)
        assert (await asking).at == now() == 3
