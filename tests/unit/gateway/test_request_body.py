"""Bodies: what is taken, what is refused, and how long one is waited for."""

from __future__ import annotations

import asyncio
import gzip
import json
from collections.abc import AsyncIterator

import pytest

from tests.unit.gateway.conftest import Open
from tests.unit.gateway.scripted_service import Gateway, hello


@pytest.mark.parametrize(
    "kind", ["application/json", "application/json; charset=utf-8", "APPLICATION/JSON", None]
)
async def test_json_is_taken_whether_or_not_it_says_so(kind: str | None, gateway: Gateway) -> None:
    skip = {"skip_auto_headers": ["Content-Type"]} if kind is None else {}
    headers = {} if kind is None else {"Content-Type": kind}

    response = await gateway.request(
        "POST", "/v1/chat/completions", data=json.dumps(hello()).encode(), headers=headers, **skip
    )

    assert response.status == 200


@pytest.mark.parametrize(
    "kind", ["text/plain", "application/x-www-form-urlencoded", "application/jsonp", ""]
)
async def test_another_content_type_is_refused(kind: str, gateway: Gateway) -> None:
    response = await gateway.ask(headers={"Content-Type": kind})

    assert response.status == 400
    assert "application/json" in response.error["message"]
    assert not gateway.service.calls


@pytest.mark.parametrize("body", [b"", b"{", b"[]", b'{"model": "\xff"}', b"[" * 100_000])
async def test_a_body_that_is_no_request_reaches_nobody(body: bytes, gateway: Gateway) -> None:
    response = await gateway.ask(body)

    assert response.status == 400
    assert response.error["param"] is None
    assert not gateway.service.calls


async def test_a_wrong_type_names_its_field(gateway: Gateway) -> None:
    response = await gateway.ask({"messages": [{"role": "user", "content": [{"type": "x"}]}]})

    error = response.error
    assert response.status == 400
    assert error["param"] == "messages[0].content[0].type"
    assert error["message"].startswith("messages[0].content[0].type: must be one of text")


@pytest.mark.parametrize("chunked", [False, True])
async def test_a_body_over_the_limit_is_a_413(chunked: bool, open_gateway: Open) -> None:
    gateway = await open_gateway(max_body=1000)

    async def pieces() -> AsyncIterator[bytes]:
        for _ in range(20):
            yield b" " * 100

    response = await gateway.request(
        "POST",
        "/v1/chat/completions",
        data=pieces() if chunked else b" " * 2000,
        headers={"Content-Type": "application/json"},
    )

    assert response.status == 413
    error = response.error
    assert (error["type"], error["code"]) == ("invalid_request_error", "request_too_large")
    assert not gateway.service.calls


async def test_a_body_at_the_limit_is_taken(open_gateway: Open) -> None:
    body = json.dumps(hello()).encode()
    gateway = await open_gateway(max_body=len(body))

    assert (await gateway.ask(body)).status == 200
    assert (await gateway.ask(body + b" ")).status == 413


async def test_a_compressed_body_is_inflated_up_to_the_limit(open_gateway: Open) -> None:
    gateway = await open_gateway(max_body=100_000)
    packed = {"Content-Encoding": "gzip"}

    small = await gateway.ask(gzip.compress(json.dumps(hello()).encode()), headers=packed)
    over = await gateway.ask(gzip.compress(b" " * 100_001), headers=packed)
    bomb = await gateway.ask(gzip.compress(b" " * 50_000_000), headers=packed)
    broken = await gateway.ask(b"no gzip at all", headers=packed)
    unknown = await gateway.ask(b"{}", headers={"Content-Encoding": "rot13"})

    assert [r.status for r in (small, over, bomb, broken, unknown)] == [200, 413, 413, 400, 400]
    assert [r.error["param"] for r in (over, bomb, broken, unknown)] == [None] * 4


async def test_a_compressed_body_over_the_limit_is_a_413_whatever_is_in_it(
    open_gateway: Open,
) -> None:
    body = json.dumps(hello()).encode()
    gateway = await open_gateway(max_body=len(body))

    packed = gzip.compress(body, compresslevel=0)
    assert len(packed) > len(body)
    assert (await gateway.ask(packed, headers={"Content-Encoding": "gzip"})).status == 413


@pytest.mark.parametrize("chunks", [16_384, 16_385, 16_386])
async def test_a_body_of_very_many_chunks_does_not_hold_up_the_next(
    chunks: int, open_gateway: Open
) -> None:
    """So many that aiohttp stops its parser; with 16,385 it does so just before the body's end."""
    gateway = await open_gateway(body_timeout=5.0)
    body = json.dumps(hello()).encode()
    head = b"POST /v1/chat/completions HTTP/1.1\r\nHost: h\r\n"
    pieces = b"".join(b"1\r\n%c\r\n" % byte for byte in body.ljust(chunks))
    reader, writer = await asyncio.open_connection(*gateway.door.address)

    async with asyncio.timeout(20):
        writer.write(head + b"Transfer-Encoding: chunked\r\n\r\n" + pieces + b"0\r\n\r\n")
        assert (await reader.readuntil(b"\r\n")).split()[1] == b"200"
        for _ in range(2):
            writer.write(head + b"Content-Length: %d\r\n\r\n" % len(body) + body)
            answered = await reader.readuntil(b"HTTP/1.1 ")
            assert answered and (await reader.readuntil(b"\r\n")).split()[0] == b"200"
    writer.close()


async def test_an_empty_expect_expects_nothing(gateway: Gateway) -> None:
    assert (await gateway.request("GET", "/livez", headers={"Expect": ""})).status == 200


@pytest.mark.parametrize("encoding", ["", "identity", "Identity", "GZIP"])
async def test_an_encoding_may_be_written_in_any_case(encoding: str, gateway: Gateway) -> None:
    body = json.dumps(hello()).encode()
    sent = gzip.compress(body) if encoding == "GZIP" else body
    assert (await gateway.ask(sent, headers={"Content-Encoding": encoding})).status == 200


async def test_a_body_that_does_not_come_is_a_408(open_gateway: Open) -> None:
    gateway = await open_gateway(body_timeout=0.05)
    reader, writer = await asyncio.open_connection(*gateway.door.address)
    writer.write(b"POST /v1/chat/completions HTTP/1.1\r\nHost: h\r\nContent-Length: 9\r\n\r\n{")

    async with asyncio.timeout(10):
        head = await reader.readuntil(b"\r\n\r\n")

    assert head.startswith(b"HTTP/1.1 408 ")
    writer.close()


@pytest.mark.parametrize("length", [2, 10**12])
async def test_expect_is_answered_before_a_body_that_would_fit(
    length: int, gateway: Gateway
) -> None:
    reader, writer = await asyncio.open_connection(*gateway.door.address)
    writer.write(
        b"POST /v1/chat/completions HTTP/1.1\r\nHost: h\r\nExpect: 100-continue\r\n"
        b"Content-Length: %d\r\n\r\n" % length
    )

    async with asyncio.timeout(10):
        head = await reader.readuntil(b"\r\n\r\n")
        if length == 2:
            writer.write(b"[]")
            head += await reader.readuntil(b"\r\n\r\n")

    expected = b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 400 " if length == 2 else b"HTTP/1.1 413 "
    assert head.startswith(expected)
    writer.close()
