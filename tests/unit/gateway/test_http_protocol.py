"""Bytes that are no HTTP: an error like any other, and not a word of what was sent."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

import grpc
import orjson
import pytest

from gateway.address import TcpAddress
from gateway.app import Settings, build_app
from gateway.door import start_http

SECRET = "sk-do-not-repeat-this"
HEAD = f"POST /v1/chat/completions HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {SECRET}"

UNREADABLE = {
    "no request line": f"{SECRET}\r\n\r\n",
    "another protocol": "\x16\x03\x01\x02\x00\x01\x00\x01",
    "HTTP/2": "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
    "a version that is none": f"POST /{SECRET} HTTP/3.9\r\n\r\n",
    "a header that is none": f"{HEAD}\x01\r\n\r\n",
    "a length that is none": f"{HEAD}\r\nContent-Length: {SECRET}\r\n\r\n",
    "a chunk that is none": f"{HEAD}\r\nTransfer-Encoding: chunked\r\n\r\n{SECRET}\r\n",
    "too many headers": HEAD + "".join(f"\r\nh{i}: 1" for i in range(300)) + "\r\n\r\n",
}


@pytest.fixture(params=[False, True], ids=["apart", "together"])
async def port(request: pytest.FixtureRequest) -> AsyncIterator[int]:
    async with grpc.aio.insecure_channel("127.0.0.1:1") as nobody:
        app = build_app(nobody, Settings())
        door = await start_http(app, "127.0.0.1:0", together=request.param)
        assert isinstance(door.address, TcpAddress)
        yield door.address.port
        await door.stop(0)


@pytest.mark.parametrize("sent", UNREADABLE.values(), ids=UNREADABLE)
async def test_the_answer_is_the_envelope(port: int, sent: str) -> None:
    status, headers, body = await ask(port, sent)
    assert status == 400
    assert headers["content-type"].startswith("application/json")
    assert headers["server"] == "llmbase"
    assert orjson.loads(body)["error"]["type"] == "invalid_request_error"
    assert SECRET not in body.decode()


async def test_a_line_that_is_too_long_is_called_that(port: int) -> None:
    _, _, body = await ask(port, f"{HEAD}\r\nX-Long: {'x' * 20_000}\r\n\r\n")
    assert "too long" in orjson.loads(body)["error"]["message"]


async def ask(port: int, sent: str) -> tuple[int, dict[str, str], bytes]:
    """Send bytes, and return status, headers and body of all that comes until the end."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    try:
        writer.write(sent.encode("latin-1"))
        answer = await asyncio.wait_for(reader.read(), 10)
    finally:
        writer.close()
        await writer.wait_closed()
    head, _, body = answer.partition(b"\r\n\r\n")
    first, *lines = head.decode("latin-1").split("\r\n")
    headers = dict(line.lower().split(": ", 1) for line in lines)
    return int(first.split()[1]), headers, body
