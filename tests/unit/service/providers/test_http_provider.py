"""What a provider over HTTP makes of a client's answers and failures."""

from __future__ import annotations

import asyncio
import gzip

import pytest

from service.config import ProviderConfig, TimeoutsConfig
from service.errors import FaultKind, ProviderFault
from service.providers.call import Call
from service.providers.dialects import DIALECTS
from service.providers.http_client.client import HttpClient
from service.providers.http_provider import HttpProvider
from tests.unit.service.providers.http_client.wires import CHUNKED, OK, Wires
from tests.unit.service.providers.timed_http import CONTENT, REQUEST, WHOLE
from tests.unit.virtual_time import run

KEY = "sk-a-key-that-nobody-may-see"
ANSWER = OK + b"Content-Length: %d\r\n\r\n%b" % (len(WHOLE), WHOLE)


class Asked:
    """A provider over wires that is asked once."""

    def __init__(self, headers=None, base_url="http://acme.example/v1"):
        self.wires = Wires()
        self.call = Call("id")
        self.provider = HttpProvider(
            "acme",
            DIALECTS["openai"].build(ProviderConfig(dialect="openai")),
            HttpClient(self.wires),
            base_url,
            timeouts=TimeoutsConfig(),
            largest_answer=1000,
            headers={"Authorization": f"Bearer {KEY}", **(headers or {})},
            credentials=None,
            images=None,
        )

    async def asking(self, *, streamed=False):
        task = asyncio.create_task(
            self.provider.stream(REQUEST, 1, self.call)
            if streamed
            else self.provider.complete(REQUEST, self.call)
        )
        for _ in range(3):  # until the request has gone out, at the end of the turn
            await asyncio.sleep(0)
        return task

    async def fault(self, task):
        with pytest.raises(ProviderFault) as raised:
            await task
        assert KEY not in repr(vars(raised.value))
        assert raised.value.__cause__ is None
        return raised.value


async def test_an_answer_comes_over_a_connection_that_the_next_one_uses():
    asked = Asked()
    for _ in range(2):
        task = await asked.asking()
        asked.wires.last.says(ANSWER)
        assert (await task).choices[0].message.content[0].text == "x"
    assert len(asked.wires.made) == 1
    await asked.provider.close()
    assert asked.wires.last.is_closing()


async def test_nothing_was_sent_where_there_was_no_connection():
    asked = Asked()
    asked.wires.failure = ConnectionRefusedError(f"http://{KEY}@acme.example")
    fault = await asked.fault(await asked.asking())
    assert (fault.kind, str(fault)) == (FaultKind.CONNECT, "ConnectionRefusedError")
    assert not asked.call.sent


@pytest.mark.parametrize(
    ("headers", "base_url"),
    [
        ({"X-Own": f"{KEY}\r\nX-Other: x"}, "http://acme.example"),
        ({f"X {KEY}": "x"}, "http://acme.example"),
        ({}, f"http://user:x@acme.example:1:{KEY}/v1"),
        ({}, f"http://acme.example/{KEY} HTTP/1.1\r\n"),
        ({}, "http://" + "a" * 70 + ".example"),
    ],
)
async def test_what_cannot_be_sent_is_not(headers, base_url):
    asked = Asked(headers, base_url)
    if "aaaa" in base_url:
        asked.wires.failure = UnicodeError("label too long")  # as the look-up says
    fault = await asked.fault(await asked.asking())
    assert fault.kind is FaultKind.CONNECT
    assert not asked.call.sent
    assert not asked.wires.made


@pytest.mark.parametrize("streamed", [False, True])
@pytest.mark.parametrize("said", [b"", b"HTTP/1.1 200 O", b"what is this\r\n\r\n"])
async def test_what_is_lost_before_its_answer_began_was_sent(said, streamed):
    asked = Asked()
    task = await asked.asking(streamed=streamed)
    asked.wires.last.says(said)
    asked.wires.last.hangs_up()
    assert (await asked.fault(task)).kind is FaultKind.CONNECT
    assert asked.call.sent


@pytest.mark.parametrize("end", ["hangs_up", "breaks"])
async def test_a_whole_answer_that_is_cut_is_truncated(end):
    asked = Asked()
    task = await asked.asking()
    asked.wires.last.says(ANSWER[:-1])
    getattr(asked.wires.last, end)()
    assert (await asked.fault(task)).kind is FaultKind.TRUNCATED


@pytest.mark.parametrize("end", ["hangs_up", "breaks"])
async def test_what_came_of_a_stream_before_it_was_cut_is_given(end):
    asked = Asked()
    task = await asked.asking(streamed=True)
    wire = asked.wires.last
    wire.says(CHUNKED + b"%x\r\n%b\r\n" % (len(CONTENT), CONTENT))
    stream = await task
    wire.says(b"%x\r\n%b" % (len(CONTENT) + 1, CONTENT))
    getattr(wire, end)()
    given = 0
    with pytest.raises(ProviderFault) as cut:
        while await stream.read() is not None:
            given += 1
    assert (given, cut.value.kind) == (2, FaultKind.TRUNCATED)
    stream.close()


@pytest.mark.parametrize("pieces", [1, 5])
async def test_a_compressed_answer_is_whole_when_its_coding_says_so(pieces):
    packed = gzip.compress(WHOLE)
    for body in (packed, packed[:-9]):
        asked = Asked()
        task = await asked.asking()
        head = b"Content-Encoding: gzip\r\nContent-Length: %d\r\n\r\n" % len(body)
        said = OK + head + body
        size = len(said) // pieces + 1
        asked.wires.last.says(*(said[at : at + size] for at in range(0, len(said), size)))
        if body is packed:
            assert (await task).choices[0].message.content[0].text == "x"
        else:
            assert (await asked.fault(task)).kind is FaultKind.TRUNCATED


async def test_an_answer_that_is_too_large_is_left():
    asked = Asked()
    task = await asked.asking()
    asked.wires.last.says(OK + b"Content-Length: 1001\r\n\r\n" + b"x" * 1001)
    assert (await asked.fault(task)).kind is FaultKind.MALFORMED
    task = await asked.asking()
    asked.wires.last.says(OK + b"\r\n" + b"x" * 1001)
    assert (await asked.fault(task)).kind is FaultKind.MALFORMED
    assert asked.wires.last.is_closing()


async def test_an_error_says_what_it_says_and_leaves_its_connection():
    asked = Asked()
    body = b'{"error":{"message":"slow down"}}'
    head = b"HTTP/1.1 429 Slow\r\nRETRY-AFTER: 7\r\nContent-Length: %d\r\n\r\n" % len(body)
    task = await asked.asking()
    asked.wires.last.says(head + body)
    fault = await asked.fault(task)
    assert (fault.status, fault.told, fault.retry_after) == (429, "slow down", 7)
    await asked.asking()
    assert len(asked.wires.made) == 1


@pytest.mark.parametrize("status", [b"301 Moved", b"304 Not Modified"])
async def test_nobody_is_followed_elsewhere(status):
    asked = Asked()
    task = await asked.asking()
    asked.wires.last.says(
        b"HTTP/1.1 " + status + b"\r\nLocation: http://other/\r\nContent-Length: 0\r\n\r\n"
    )
    fault = await asked.fault(task)
    assert (fault.kind, fault.status) == (FaultKind.STATUS, int(status[:3]))
    assert len(asked.wires.made) == 1


@pytest.mark.parametrize("streamed", [False, True])
@pytest.mark.parametrize("said", [b"", OK, CHUNKED, CHUNKED + b"1\r\n:\r\n"])
def test_who_leaves_closes_the_connection_in_that_moment(said, streamed):
    async def main():
        asked = Asked()
        task = await asked.asking(streamed=streamed)
        asked.wires.last.says(said)
        await asyncio.sleep(3)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        assert asked.wires.last.closed_at == 3

    run(main())
