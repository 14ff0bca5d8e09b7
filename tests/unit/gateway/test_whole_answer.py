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

from gateway.exchange import Exchange
from gateway.routes import Answer
from gateway.whole_answer import WholeAnswer

BODY = b'{"object":"chat.completion"}'
HEADERS = {"x-request-id": "req_1", "Server": "llmbase", "x-llmbase-provider": "acme"}


async def answer(exchange: Exchange) -> Answer:
    exchange.answer_headers = HEADERS
    reply: Answer
    if exchange.path == "/ours":
        reply = WholeAnswer(exchange, BODY)
    else:
        reply = web.Response(body=BODY, content_type="application/json", headers=HEADERS)
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
    socket: Path, path: str, version: str, headers: str, *, stays: bool
) -> list[bytes]:
    """Return the answer's lines, without its time, the first of them first.

    Afterwards the connection `stays` or ends.
    """
    reader, writer = await asyncio.open_unix_connection(socket)
    request = f"POST {path} HTTP/{version}\r\nHost: x\r\nContent-Length: 0\r\n{headers}\r\n"
    writer.write(request.encode())
    received = await reader.readuntil(BODY)
    if stays:
        writer.write(request.encode())
        await reader.readuntil(BODY)
    else:
        assert await reader.read() == b""
    writer.close()
    date = rb"\r\nDate: \w{3}, \d\d \w{3} \d{4} \d\d:\d\d:\d\d GMT\r\n"
    told, times = re.subn(date, b"\r\nDate: now\r\n", received)
    assert times == 1
    first, *lines = told.split(b"\r\n")
    return [first, *sorted(lines)]


@pytest.mark.parametrize("version", ["1.0", "1.1"])
@pytest.mark.parametrize("connection", ["", "Connection: close\r\n", "Connection: keep-alive\r\n"])
@pytest.mark.parametrize("query", ["", "?close"])
async def test_it_is_but_for_the_order_of_its_headers_what_aiohttps_own_response_is(
    version: str, connection: str, query: str, socket: Path
) -> None:
    stays = "keep-alive" in connection if version == "1.0" else "close" not in connection
    stays = stays and not query
    received = await answered(socket, f"/ours{query}", version, connection, stays=stays)
    assert received == await answered(socket, f"/theirs{query}", version, connection, stays=stays)
    assert received[0] == f"HTTP/{version} 200 OK".encode()
