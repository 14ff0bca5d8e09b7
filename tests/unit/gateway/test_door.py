"""How a door opens and closes."""

from __future__ import annotations

import asyncio
import contextlib
import json
import select
import socket
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import aiohttp
import grpc
import pytest
import uvloop
from aiohttp import web
from llmbase.v1 import chat_completion_pb2 as pb

from gateway.address import TcpAddress, UnixAddress, parse_address
from gateway.app import Settings, build_app
from gateway.door import Door, start_http
from gateway.exchange import Exchange
from tests.unit.gateway.scripted_service import (
    CHAT,
    PATIENCE,
    Gateway,
    Reply,
    Service,
    completion,
    first,
    hello,
    last,
    soon,
)

STREAM = json.dumps(hello(stream=True)).encode()
JSON = {"Content-Type": "application/json"}


@pytest.mark.parametrize(
    ("text", "address"),
    [
        ("127.0.0.1:8080", TcpAddress("127.0.0.1", 8080)),
        ("localhost:0", TcpAddress("localhost", 0)),
        ("[::1]:65535", TcpAddress("::1", 65535)),
        ("unix:/run/llmbase.sock", UnixAddress("/run/llmbase.sock")),
    ],
)
def test_an_address_is_what_it_says_and_says_what_it_is(text: str, address: Any) -> None:
    assert parse_address(text) == address
    assert str(address) == text


@pytest.mark.parametrize(
    "text",
    ["", "localhost", ":80", "localhost:", "localhost:x", "::1:80", "h:65536", "h:-1", "unix:"],
)
def test_what_is_no_address_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="not an address"):
        parse_address(text)


@pytest.fixture
async def app(channel: grpc.aio.Channel) -> Any:
    return build_app(channel, Settings())


async def test_port_0_becomes_a_real_one(app: Any) -> None:
    door = await start_http(app, "127.0.0.1:0")

    assert isinstance(door.address, TcpAddress) and door.address.port > 0
    assert door.url == f"http://127.0.0.1:{door.address.port}"
    await door.stop(0)


@pytest.mark.parametrize("together", [False, True])
async def test_a_process_that_does_everything_has_its_answers_leave_together(
    channel: grpc.aio.Channel, together: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def which(exchange: Exchange) -> web.Response:
        return web.Response(text=type(exchange.transport).__name__)

    app = build_app(channel, Settings())
    monkeypatch.setattr(app.front, "handle", which)
    door = await start_http(app, "127.0.0.1:0", together=together)
    async with aiohttp.ClientSession() as session:
        for _ in range(2):
            async with session.get(door.url) as answer:
                assert ("TurnTransport" in await answer.text()) is together
    await door.stop(0)


@pytest.mark.parametrize("unix", [False, True])
def test_who_connects_to_a_busy_process_does_not_wait_a_turn_for_each_one_before_it(
    unix: bool, short_directory: Path
) -> None:
    crowd = 64

    async def main() -> int:
        app = build_app(grpc.aio.insecure_channel("127.0.0.1:1"), Settings())
        door = await start_http(app, f"unix:{short_directory}/h" if unix else "127.0.0.1:0")
        with contextlib.ExitStack() as stack:
            waiting = []
            for _ in range(crowd):  # by the kernel: the loop does not get to do anything
                client = socket.socket(socket.AF_UNIX if unix else socket.AF_INET)
                stack.enter_context(client).connect(
                    str(short_directory / "h") if unix else tuple(door.address)
                )
                client.sendall(b"GET /livez HTTP/1.1\r\nHost: h\r\n\r\n")
                waiting.append(client)
            turns = 0
            while len(select.select(waiting, [], [], 0)[0]) < crowd:  # until all are answered
                await asyncio.sleep(0)
                turns += 1
        await door.stop(0)
        return turns

    assert uvloop.run(main()) <= crowd / 2


async def test_a_unix_socket_is_served_and_removed(app: Any, short_directory: Path) -> None:
    path = short_directory / "h"
    door = await start_http(app, f"unix:{path}")

    connector = aiohttp.UnixConnector(str(path))
    async with (
        aiohttp.ClientSession(connector=connector) as client,
        client.get("http://door/livez") as response,
    ):
        assert response.status == 200
    assert door.url == f"unix:{path}"
    await door.stop(0)
    assert not path.exists()


async def test_a_socket_that_a_dead_server_left_is_taken_over(
    app: Any, short_directory: Path
) -> None:
    path = short_directory / "h"
    with socket.socket(socket.AF_UNIX) as dead:
        dead.bind(str(path))

    await (await start_http(app, f"unix:{path}")).stop(0)


async def test_an_address_in_use_is_an_error(
    app: Any, channel: grpc.aio.Channel, short_directory: Path
) -> None:
    for address in ("127.0.0.1:0", f"unix:{short_directory / 'h'}"):
        door = await start_http(build_app(channel, Settings()), address)
        with pytest.raises(OSError, match="in use"):
            await start_http(build_app(channel, Settings()), str(door.address))
        await door.stop(0)


async def test_a_file_is_never_removed_for_a_socket(app: Any, short_directory: Path) -> None:
    path = short_directory / "precious"
    path.write_text("data")

    with pytest.raises(OSError):
        await start_http(app, f"unix:{path}")

    assert path.read_text() == "data"


class Chat:
    """A chat under way, and what has come of it."""

    def __init__(self, gateway: Gateway, *, streamed: bool) -> None:
        self.gateway = gateway
        self.go_on = asyncio.Event()
        self.streamed = streamed
        gateway.service.whole = self._whole
        gateway.service.stream = self._stream

    async def _whole(self, request: Any, context: Any) -> pb.ChatCompletion:
        await self.go_on.wait()
        return completion()

    async def _stream(self, request: Any, context: Any) -> AsyncIterator[pb.ChatCompletionChunk]:
        yield first()
        await self.go_on.wait()
        yield last()

    async def begin(self) -> asyncio.Task[Any]:
        task = asyncio.create_task(self.gateway.ask(hello(stream=self.streamed)))
        await soon(self.gateway.service.arrived)
        return task


def closing(door: Door, grace: float) -> asyncio.Task[None]:
    return asyncio.create_task(door.stop(grace))


@pytest.mark.parametrize("streamed", [False, True])
async def test_an_open_chat_ends_well_while_new_ones_are_refused(
    streamed: bool, gateway: Gateway
) -> None:
    chat = Chat(gateway, streamed=streamed)
    asking = await chat.begin()

    stopping = closing(gateway.door, PATIENCE)
    await asyncio.sleep(0)
    refused = await gateway.ask()
    ready, live = [await gateway.request("GET", path) for path in ("/readyz", "/livez")]
    models = await gateway.request("GET", "/v1/models")
    assert not stopping.done()
    chat.go_on.set()
    reply = await asking
    await stopping

    assert reply.status == 200
    assert (reply.events[-1] == "[DONE]") if streamed else reply.json["choices"]
    for other in (refused, models):
        assert (other.status, other.error["code"]) == (503, "service_unavailable")
        assert other.headers["Connection"] == "close"
        assert int(other.headers["Retry-After"]) >= 1
    assert (ready.status, live.status) == (503, 200)
    assert [call.request.model for call in gateway.service.calls] == ["m"]


@pytest.mark.parametrize("streamed", [False, True])
async def test_a_door_that_gives_notice_still_serves_and_asks_clients_to_go_elsewhere(
    streamed: bool, gateway: Gateway
) -> None:
    early = Chat(gateway, streamed=streamed)
    asking = await early.begin()

    stopping = asyncio.create_task(gateway.door.stop(PATIENCE, notice=PATIENCE))
    await asyncio.sleep(0)
    ready, live = [await gateway.request("GET", path) for path in ("/readyz", "/livez")]
    early.go_on.set()
    late = await gateway.ask(hello(stream=streamed))
    models = await gateway.request("GET", "/v1/models")

    assert (ready.status, live.status) == (503, 200)
    assert ((await asking).status, late.status, models.status) == (200, 200, 200)
    for reply in (ready, late, models):
        assert reply.headers["Connection"] == "close"
    stopping.cancel()
    with pytest.raises(asyncio.CancelledError):
        await stopping
    await gateway.door.stop(0)


async def test_the_connection_of_a_stream_that_was_open_before_closes_with_it(
    gateway: Gateway,
) -> None:
    chat = Chat(gateway, streamed=True)

    async with gateway.client.post(CHAT, data=STREAM, headers=JSON) as response:
        await response.content.readuntil(b"Hel")
        connection = response.connection
        assert connection is not None and connection.transport is not None
        transport = connection.transport
        stopping = asyncio.create_task(gateway.door.stop(PATIENCE, notice=PATIENCE))
        await asyncio.sleep(0)
        chat.go_on.set()
        await response.read()

    async with asyncio.timeout(PATIENCE):
        while not transport.is_closing():  # noqa: ASYNC110 - the client's library tells nobody
            await asyncio.sleep(0.01)
    stopping.cancel()
    await asyncio.wait([stopping])
    await gateway.door.stop(0)


async def test_newcomers_are_refused_once_the_notice_is_over(gateway: Gateway) -> None:
    chat = Chat(gateway, streamed=False)
    asking = await chat.begin()

    stopping = asyncio.create_task(gateway.door.stop(PATIENCE, notice=0.01))
    async with asyncio.timeout(PATIENCE):
        while (await gateway.request("GET", "/v1/models")).status == 200:
            pass
    refused = await gateway.request("GET", "/v1/models")
    chat.go_on.set()
    await stopping

    assert refused.error["code"] == "service_unavailable"
    assert (await asking).status == 200


async def test_a_stream_that_outlasts_the_grace_ends_with_an_error_event(
    gateway: Gateway,
) -> None:
    Chat(gateway, streamed=True)

    async with gateway.client.post(CHAT, data=STREAM, headers=JSON) as response:
        begun = await response.content.readuntil(b"Hel")
        await gateway.door.stop(0.01)
        reply = Reply(response.status, response.headers, begun + await response.read())

    assert reply.status == 200
    assert reply.events[-1]["error"]["code"] == "service_unavailable"
    await soon(gateway.service.cancelled)


async def test_a_unary_chat_that_outlasts_the_grace_is_a_503(gateway: Gateway) -> None:
    asking = await Chat(gateway, streamed=False).begin()

    await gateway.door.stop(0.01)
    reply = await asking

    assert (reply.status, reply.error["code"]) == (503, "service_unavailable")
    await soon(gateway.service.cancelled)


async def test_a_stop_without_visitors_is_over_at_once_and_may_be_repeated(
    gateway: Gateway, service: Service
) -> None:
    async with asyncio.timeout(1):
        await gateway.door.stop(PATIENCE)
        await gateway.door.stop(PATIENCE)

    with pytest.raises(aiohttp.ClientConnectorError):
        await gateway.ask()
