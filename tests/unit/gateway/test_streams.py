"""Time in a stream: comments while nothing comes, and what happens when the client goes."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from typing import Any

import aiohttp
import pytest
from llmbase.v1 import chat_completion_pb2 as pb

from gateway.event_stream import EventStream
from tests.unit.gateway.conftest import Lines, Open
from tests.unit.gateway.scripted_service import (
    CHAT,
    Gateway,
    Service,
    completion,
    fail,
    first,
    hello,
    last,
    more,
    soon,
)

BODY = json.dumps(hello(stream=True)).encode()
JSON = {"Content-Type": "application/json"}
COMMENT = b": keep-alive\n\n"
Chunks = AsyncIterator[pb.ChatCompletionChunk]


async def read_until(response: aiohttp.ClientResponse, mark: bytes, count: int = 1) -> bytes:
    """Read on until the mark has come so many times; return what was read."""
    data = b""
    while data.count(mark) < count:
        more_data = await response.content.readany()
        assert more_data, "the stream ended too soon"
        data += more_data
    return data


def held(go_on: asyncio.Event, *before: Any, after: tuple[Any, ...] = ()) -> Any:
    """A script: chunks, then silence until `go_on`, then more chunks."""

    async def stream(request: Any, context: Any) -> Chunks:
        for chunk in before:
            yield chunk
        await go_on.wait()
        for chunk in after:
            yield chunk

    return stream


async def test_comments_are_sent_while_the_first_chunk_is_awaited(open_gateway: Open) -> None:
    gateway = await open_gateway(keepalive=0.01)
    go_on = asyncio.Event()
    gateway.service.stream = held(go_on, after=(first(), last()))

    async with gateway.client.post(CHAT, data=BODY, headers=JSON) as response:
        waiting = await read_until(response, COMMENT, 3)
        go_on.set()
        rest = await response.read()

    assert waiting.replace(COMMENT, b"") == b""
    ours = {name.lower() for name in response.headers if name.lower().startswith("x-")}
    assert ours == {"x-request-id", "x-llmbase-requested-model", "x-accel-buffering"}
    assert rest.replace(COMMENT, b"").endswith(b"data: [DONE]\n\n")


async def test_comments_are_sent_between_events_and_never_inside_or_after(
    open_gateway: Open,
) -> None:
    gateway = await open_gateway(keepalive=0.01)
    go_on = asyncio.Event()
    gateway.service.stream = held(go_on, first(), after=(more(), last()))

    async with gateway.client.post(CHAT, data=BODY, headers=JSON) as response:
        data = await read_until(response, COMMENT, 3)
        go_on.set()
        data += await response.read()

    # On a busy machine the first comment can be there before the first chunk, and the headers then.
    late = data.startswith(COMMENT)
    assert ("x-llmbase-provider" in response.headers) is not late
    blocks = data.split(b"\n\n")
    assert blocks.pop() == b""
    assert all(block == b": keep-alive" or block.startswith(b"data: ") for block in blocks)
    assert blocks[-1] == b"data: [DONE]"


async def test_a_stream_that_is_never_silent_has_no_comment(gateway: Gateway) -> None:
    assert b"keep-alive" not in (await gateway.ask(BODY)).body


async def test_an_error_after_a_comment_is_an_event(open_gateway: Open) -> None:
    gateway = await open_gateway(keepalive=0.01)
    go_on = asyncio.Event()

    async def stream(request: Any, context: Any) -> Chunks:
        await go_on.wait()
        await fail(context, "ALL_PROVIDERS_FAILED")
        yield first()

    gateway.service.stream = stream

    async with gateway.client.post(CHAT, data=BODY, headers=JSON) as response:
        await read_until(response, COMMENT)
        go_on.set()
        rest = (await response.read()).replace(COMMENT, b"")

    assert response.status == 200
    error = json.loads(rest.removeprefix(b"data: "))["error"]
    assert error["code"] == "all_providers_failed"


class Client:
    """A client that can leave without a word."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.reader = reader
        self._writer = writer

    @classmethod
    async def asking(cls, gateway: Gateway, body: bytes, length: int | None = None) -> Client:
        client = cls(*await asyncio.open_connection(*gateway.door.address))
        head = b"POST %b HTTP/1.1\r\nHost: h\r\nContent-Length: %d\r\n\r\n"
        client._writer.write(head % (CHAT.encode(), length or len(body)) + body)
        return client

    def leave(self, *, politely: bool) -> None:
        if politely:
            self._writer.close()
        else:
            self._writer.transport.abort()


@pytest.mark.parametrize("politely", [True, False], ids=["closed", "reset"])
@pytest.mark.parametrize("phase", ["before the first byte", "after a comment", "mid-stream"])
async def test_a_client_that_leaves_a_stream_cancels_the_rpc(
    phase: str, politely: bool, open_gateway: Open, lines: Lines
) -> None:
    gateway = await open_gateway(keepalive=0.01 if phase == "after a comment" else 15)
    gateway.service.stream = held(asyncio.Event(), *([first()] if phase == "mid-stream" else []))

    client = await Client.asking(gateway, BODY)
    await soon(gateway.service.arrived)
    if phase != "before the first byte":
        await client.reader.readuntil(b"Hel" if phase == "mid-stream" else COMMENT)
    client.leave(politely=politely)

    await soon(gateway.service.cancelled)
    await lines.expect(status=499)


@pytest.mark.parametrize("politely", [True, False], ids=["closed", "reset"])
async def test_a_client_that_leaves_a_unary_call_cancels_the_rpc(
    politely: bool, gateway: Gateway, lines: Lines
) -> None:
    async def forever(request: Any, context: Any) -> pb.ChatCompletion:
        await asyncio.Event().wait()
        return completion()

    gateway.service.whole = forever

    client = await Client.asking(gateway, json.dumps(hello()).encode())
    await soon(gateway.service.arrived)
    client.leave(politely=politely)

    await soon(gateway.service.cancelled)
    await lines.expect(status=499)


@pytest.mark.parametrize("politely", [True, False], ids=["closed", "reset"])
async def test_a_client_that_reads_nothing_and_leaves_cancels_the_rpc(
    politely: bool, gateway: Gateway, lines: Lines
) -> None:
    async def flood(request: Any, context: Any) -> Chunks:
        yield first()
        while True:
            yield more("x" * 100_000)

    gateway.service.stream = flood
    client = await Client.asking(gateway, BODY)
    await client.reader.readuntil(b"Hel")

    client.leave(politely=politely)

    await soon(gateway.service.cancelled)
    await lines.expect(status=499)


async def test_a_client_that_leaves_while_it_sends_its_body_leaves_no_trace(
    gateway: Gateway, lines: Lines
) -> None:
    client = await Client.asking(gateway, b"{", length=9)
    await gateway.request("GET", "/livez")  # by now the other request has been met
    await lines.expect(status=200)

    client.leave(politely=False)

    await lines.expect(status=499)
    assert not gateway.service.calls


async def test_an_ended_stream_has_no_timer_left(
    open_gateway: Open, monkeypatch: pytest.MonkeyPatch
) -> None:
    streams: list[EventStream] = []
    made = EventStream.__init__

    def remember(self: EventStream, *arguments: Any) -> None:
        made(self, *arguments)
        streams.append(self)

    monkeypatch.setattr(EventStream, "__init__", remember)
    gateway = await open_gateway(keepalive=0.01)
    go_on = asyncio.Event()
    gateway.service.stream = held(go_on, after=(first(), last()))

    async with gateway.client.post(CHAT, data=BODY, headers=JSON) as response:
        await read_until(response, COMMENT)
        go_on.set()
        await response.read()

    assert [stream._timer.cancelled() for stream in streams] == [True]


async def test_streams_side_by_side_do_not_mix(gateway: Gateway, service: Service) -> None:
    async def echo(request: Any, context: Any) -> Chunks:
        yield first(request.user)
        yield more(request.user)
        yield last()

    service.stream = echo

    replies = await asyncio.gather(
        *(gateway.ask(hello(stream=True, user=str(i))) for i in range(50))
    )

    for i, reply in enumerate(replies):
        said = [event["choices"][0]["delta"].get("content") for event in reply.events[:-1]]
        assert said == [None, str(i), str(i), None]


async def test_a_stream_ends_with_its_connection_where_there_are_no_chunks(
    gateway: Gateway,
) -> None:
    reader, writer = await asyncio.open_connection(*gateway.door.address)
    head = f"POST {CHAT} HTTP/1.0\r\nConnection: keep-alive\r\nContent-Length: {len(BODY)}"
    writer.write(head.encode() + b"\r\n\r\n" + BODY)

    answer = await asyncio.wait_for(reader.read(), 10)

    head, _, events = answer.decode().partition("\r\n\r\n")
    assert head.startswith("HTTP/1.0 200 OK\r\n")
    assert "Transfer-Encoding" not in head and "keep-alive" not in head
    assert events.startswith("data: {") and events.endswith("data: [DONE]\n\n")
    writer.close()
