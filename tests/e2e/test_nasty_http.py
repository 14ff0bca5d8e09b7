"""Hostile HTTP: whatever the framing, no 5xx, no hang, and no request inside another's body."""

from __future__ import annotations

import asyncio
import json
import re
from dataclasses import dataclass
from typing import Any

from tests.support.asking import hello
from tests.support.config import KEY
from tests.support.openai_wire import says
from tests.support.rest_door import RestDoor
from tests.support.scripted_upstream import ScriptedUpstream
from tests.support.shared import shared_json

SILENCE = 1.0  # seconds after which nothing more is expected


@dataclass(frozen=True)
class Heard:
    """What a server said to some bytes: the statuses of its answers, and whether it hung up."""

    statuses: tuple[int, ...]
    closed: bool


async def _say(url: str, data: bytes) -> Heard:
    """Send the bytes and read well-framed answers until the server closes or falls silent."""
    host, port = url.removeprefix("http://").split(":")
    reader, writer = await asyncio.open_connection(host, int(port), limit=2**20)
    heard, closed = b"", False
    try:
        writer.write(data)
        while True:
            async with asyncio.timeout(SILENCE):
                more = await reader.read(2**16)
            if not more:
                closed = True
                break
            heard += more
    except TimeoutError:
        pass
    except ConnectionError:
        closed = True
    finally:
        writer.transport.abort()  # a close would wait for who does not read any longer
    return Heard(_statuses(heard), closed)


def _statuses(heard: bytes) -> tuple[int, ...]:
    """Read answers off the bytes; what remains would be bad framing."""
    statuses = []
    while heard:
        head, end, rest = heard.partition(b"\r\n\r\n")
        match = re.match(rb"HTTP/\d\.\d (\d{3}) ", head)
        assert match and end, heard[:200]
        length = re.search(rb"\r\ncontent-length: (\d+)", head, re.IGNORECASE)
        assert length, head
        heard = rest[int(length[1]) :]
        if match[1] != b"100":
            statuses.append(int(match[1]))
    return tuple(statuses)


def _framing_case(case: dict[str, Any]) -> bytes:
    """The bytes of a case, with a chat request of ours as its body, and our key."""
    body = json.dumps(hello()).encode()
    values = {
        b"{B}": body,
        b"{N}": b"%d" % len(body),
        b"{X}": b"%x" % len(body),
        b"{ONE}": b"".join(b"1\r\n%c\r\n" % byte for byte in body),
    }
    data: bytes = case["latin1"].encode("latin-1")
    for name, value in values.items():
        data = data.replace(name, value)
    return data.replace(b"Host: h", b"Host: h\r\nAuthorization: Bearer " + KEY.encode())


async def test_framing_is_held_to_the_letter(
    any_rest_door: RestDoor, upstream: ScriptedUpstream
) -> None:
    upstream.otherwise(says("Hello"))
    cases = shared_json("nasty", "http1_framing.json")

    said = await asyncio.gather(*(_say(any_rest_door.url, _framing_case(c)) for c in cases))

    for case, heard in zip(cases, said, strict=True):
        name, expect = case["name"], case["expect"]
        assert all(200 <= status < 500 for status in heard.statuses), (name, heard)
        if expect == "served":
            assert heard.statuses == (200,), (name, heard)
        if expect.startswith("refused") and " or " not in expect:
            assert all(status >= 400 for status in heard.statuses), (name, heard)
            assert heard.statuses or heard.closed, (name, heard)
        if "smuggled" in case["latin1"]:
            assert len(heard.statuses) <= 1, (name, heard)
        if "then closed" in expect:
            assert heard.closed, name
        if expect == "400, then served":
            assert heard.statuses == (400, 200) or (heard.statuses == (400,) and heard.closed)


async def test_what_a_parser_is_tested_with_is_answered_or_refused(
    any_rest_door: RestDoor, upstream: ScriptedUpstream
) -> None:
    cases = shared_json("nasty", "http1_llhttp.json")

    said = await asyncio.gather(
        *(_say(any_rest_door.url, case["latin1"].encode("latin-1")) for case in cases)
    )

    for case, heard in zip(cases, said, strict=True):
        assert all(200 <= status < 500 for status in heard.statuses), (case["name"], heard)
    assert not upstream.requests
    assert (await any_rest_door.get("/livez")).status == 200


async def test_a_client_that_sends_its_request_slowly_is_served(
    any_rest_door: RestDoor, upstream: ScriptedUpstream
) -> None:
    upstream.on("one", says("Hello"))
    body = json.dumps(hello()).encode()
    head = (
        f"POST /v1/chat/completions HTTP/1.1\r\nHost: h\r\nAuthorization: Bearer {KEY}\r\n"
        f"Content-Type: application/json\r\nContent-Length: {len(body)}\r\n"
        "Connection: close\r\n\r\n"
    )
    host, port = any_rest_door.url.removeprefix("http://").split(":")
    reader, writer = await asyncio.open_connection(host, int(port))

    for byte in head.encode() + body:
        writer.write(bytes([byte]))
        await writer.drain()
        await asyncio.sleep(0)
    answered = await reader.read()
    writer.close()

    assert _statuses(answered) == (200,)
