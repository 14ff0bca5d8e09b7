"""A whole answer's bytes: those of aiohttp's own response, whoever asks and however."""

from __future__ import annotations

import asyncio
import re
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
import pytest_asyncio
from aiohttp import web

from gateway.cors import Cors
from gateway.whole_answer import WholeAnswer

BODY = b'{"object":"chat.completion"}'
HEADERS = {"x-llmbase-provider": "acme", "x-ratelimit-limit-requests": "60"}


async def ours(request: web.Request) -> web.StreamResponse:
    return closed_if_wanted(request, WholeAnswer(BODY, HEADERS))


async def theirs(request: web.Request) -> web.StreamResponse:
    response = web.Response(body=BODY, content_type="application/json", headers=HEADERS)
    return closed_if_wanted(request, response)


def closed_if_wanted(request: web.Request, response: web.StreamResponse) -> web.StreamResponse:
    assert not response.prepared
    if "close" in request.query:
        response.force_close()
    for name, value in (("x-request-id", "req_1"), ("Server", "llmbase")):
        response.headers.setdefault(name, value)
    return response


@pytest_asyncio.fixture
async def socket(short_directory: Path) -> AsyncIterator[Path]:
    """Return the socket of a door with both of them behind it."""
    path = short_directory / "door"
    app = web.Application()
    app.add_routes([web.post("/ours", ours), web.post("/theirs", theirs)])
    app.on_response_prepare.append(Cors(["https://a.example"]).on_prepare)
    runner = web.AppRunner(app)
    await runner.setup()
    await web.UnixSite(runner, path).start()
    yield path
    await runner.cleanup()


async def answered(socket: Path, path: str, version: str, headers: str, *, stays: bool) -> bytes:
    """Return the answer's bytes, without its time; afterwards the connection `stays` or ends."""
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
    return told


@pytest.mark.parametrize("version", ["1.0", "1.1"])
@pytest.mark.parametrize("connection", ["", "Connection: close\r\n", "Connection: keep-alive\r\n"])
@pytest.mark.parametrize("query", ["", "?close"])
@pytest.mark.parametrize("origin", ["", "Origin: https://a.example\r\n"])
async def test_it_is_to_the_byte_what_aiohttps_own_response_is(
    version: str, connection: str, query: str, origin: str, socket: Path
) -> None:
    stays = "keep-alive" in connection if version == "1.0" else "close" not in connection
    stays = stays and not query
    asked = (version, connection + origin)
    received = await answered(socket, f"/ours{query}", *asked, stays=stays)
    assert received == await answered(socket, f"/theirs{query}", *asked, stays=stays)
    assert received.startswith(f"HTTP/{version} 200 OK\r\n".encode())
