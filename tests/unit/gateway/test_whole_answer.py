"""A whole answer's lines: those of aiohttp's own response, whoever asks and however."""

from __future__ import annotations

import asyncio
import re
from collections.abc import AsyncIterator
from functools import partial
from pathlib import Path
from typing import Any, cast

import pytest
import pytest_asyncio
from aiohttp import web

from gateway.answer import Answer, lines
from gateway.exchange import Exchange
from gateway.whole_answer import WholeAnswer

BODY = b'{"object":"chat.completion"}'
HEADERS = {"x-request-id": "req_1", "Server": "llmbase", "x-llmbase-provider": "acme"}


async def answer(exchange: Exchange) -> Answer | web.Response:
    exchange.lines = lines(HEADERS)
    status = int(exchange.query.get("status", 200))
    body = b"" if status == 204 else BODY
    reply: Answer | web.Response
    if exchange.path == "/ours":
        reply = WholeAnswer(exchange, body, status)
    else:
        reply = web.Response(
            status=status, body=body, content_type="application/json", headers=HEADERS
        )
        if status == 204:
            del reply.headers["Content-Type"]  # of what?
    if "close" in exchange.query:
        reply.force_close()
    return reply


@pytest_asyncio.fixture
async def socket(short_directory: Path) -> AsyncIterator[Path]:
    """Return the socket of a door with both of them behind it."""
    path = short_directory / "door"
    made = partial(Exchange, loop=asyncio.get_running_loop())
    runner = web.ServerRunner(web.Server(cast(Any, answer), request_factory=made))
    await runner.setup()
    await web.UnixSite(runner, path).start()
    yield path
    await runner.cleanup()


async def answered(
    socket: Path, line: str, headers: str, *, end: bytes = BODY, stays: bool
) -> list[bytes]:
    """Return the answer's lines, without its time, the first of them first.

    `line` is the request's first, `end` the answer's; then the connection `stays` or ends, too.
    """
    reader, writer = await asyncio.open_unix_connection(socket)
    request = f"{line}\r\nHost: x\r\nContent-Length: 0\r\n{headers}\r\n"
    writer.write(request.encode())
    received = await reader.readuntil(end)
    if stays:
        writer.write(request.encode())
        assert (await reader.readuntil(end)).startswith(received[:12])
    else:
        assert await reader.read() == b""
    writer.close()
    date = rb"\r\nDate: \w{3}, \d\d \w{3} \d{4} \d\d:\d\d:\d\d GMT\r\n"
    told, times = re.subn(date, b"\r\nDate: now\r\n", received)
    assert times == 1
    first, *rest = told.split(b"\r\n")
    return [first, *sorted(rest)]


@pytest.mark.parametrize("version", ["1.0", "1.1"])
@pytest.mark.parametrize("connection", ["", "Connection: close\r\n", "Connection: keep-alive\r\n"])
@pytest.mark.parametrize("query", ["", "?close"])
async def test_it_is_but_for_the_order_of_its_headers_what_aiohttps_own_response_is(
    version: str, connection: str, query: str, socket: Path
) -> None:
    stays = "keep-alive" in connection if version == "1.0" else "close" not in connection
    stays = stays and not query
    ours, theirs = [
        await answered(socket, f"POST /{whose}{query} HTTP/{version}", connection, stays=stays)
        for whose in ("ours", "theirs")
    ]
    assert ours == theirs
    assert ours[0] == f"HTTP/{version} 200 OK".encode()


@pytest.mark.parametrize("method", ["GET", "HEAD"])
@pytest.mark.parametrize("status", [200, 204, 404, 408, 422, 503])
async def test_so_it_is_with_another_status_and_where_no_body_is_to_be_sent(
    method: str, status: int, socket: Path
) -> None:
    end = BODY if method == "GET" and status != 204 else b"\r\n\r\n"
    ours, theirs = [
        await answered(
            socket, f"{method} /{whose}?status={status} HTTP/1.1", "", end=end, stays=True
        )
        for whose in ("ours", "theirs")
    ]
    assert ours == theirs
    assert ours[0].startswith(f"HTTP/1.1 {status} ".encode())
