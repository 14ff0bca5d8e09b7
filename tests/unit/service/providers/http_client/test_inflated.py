"""Answers that come compressed, although that is not what was asked for."""

from __future__ import annotations

import gzip
import zlib

import pytest

from service.providers.http_client import inflated
from tests.unit.service.providers.http_client.wires import OK, Caller, whole

TEXT = b"data: hello\n\n" * 1000
PACKED = gzip.compress(TEXT)
RAW = zlib.compressobj(wbits=-15)
CODED = {
    "gzip": ("gzip", PACKED),
    "its old name": ("X-GZip ", PACKED),
    "gzip of two members": ("gzip", gzip.compress(TEXT[:100]) + gzip.compress(TEXT[100:])),
    "deflate": ("deflate", zlib.compress(TEXT)),
    "deflate as many send it": ("deflate", RAW.compress(TEXT) + RAW.flush()),
    "a coding unknown": ("rot13", TEXT),
    "none": ("identity", TEXT),
}


def said(coding, body):
    head = f"Content-Encoding: {coding}\r\nContent-Length: {len(body)}\r\n\r\n"
    return OK + head.encode() + body


@pytest.mark.parametrize(("coding", "body"), CODED.values(), ids=CODED)
@pytest.mark.parametrize("at_a_time", [1, 100, 10**6])
async def test_an_answer_is_inflated_however_it_is_cut(coding, body, at_a_time):
    answer = said(coding, body)
    pieces = [answer[at : at + at_a_time] for at in range(0, len(answer), at_a_time)]
    assert await whole(await Caller().ask(*pieces)) == (TEXT, True)


@pytest.mark.parametrize("coding", ["gzip", "deflate", "a coding unknown", "none"])
async def test_a_body_that_came_with_its_head_is_whole_unless_it_has_to_be_inflated(coding):
    response = await Caller().ask(said(*CODED[coding]))
    assert response.whole == (None if coding in ("gzip", "deflate") else TEXT)


async def test_a_stream_is_inflated_as_it_comes():
    deflater = zlib.compressobj(wbits=31)
    caller = Caller()
    first = deflater.compress(b"one") + deflater.flush(zlib.Z_SYNC_FLUSH)
    response = await caller.ask(OK + b"Content-Encoding: gzip\r\n\r\n" + first)
    assert await response.read() == b"one"
    caller.wires.last.says(deflater.compress(b"two") + deflater.flush(zlib.Z_SYNC_FLUSH))
    assert await response.read() == b"two"
    caller.wires.last.says(deflater.flush())
    caller.wires.last.hangs_up()
    assert await whole(response) == (b"", True)


async def test_what_came_small_is_not_made_large_all_at_once():
    body = gzip.compress(bytes(50_000_000))
    response = await Caller().ask(said("gzip", body))
    size = 0
    while piece := await response.read():
        assert len(piece) <= inflated._AT_A_TIME
        size += len(piece)
    assert (size, response.clean) == (50_000_000, True)


async def test_what_the_inflater_holds_when_it_has_taken_all_is_not_forgotten():
    for more in range(1, 300):  # the last bytes of some are a match that is longer than the room
        text = bytes(inflated._AT_A_TIME + more)
        deflater = zlib.compressobj(wbits=-15)
        body = deflater.compress(text) + deflater.flush()
        assert await whole(await Caller().ask(said("deflate", body))) == (text, True)


@pytest.mark.parametrize(
    "body",
    [b"no gzip at all", PACKED[:-9], PACKED[:20], PACKED[:-8] + b"\0" * 8],
    ids=["garbage", "no end", "cut", "a wrong sum"],
)
async def test_what_cannot_be_inflated_is_a_body_that_broke(body):
    got, clean = await whole(await Caller().ask(said("gzip", body)))
    assert not clean
    assert TEXT.startswith(got)


async def test_an_answer_without_a_body_has_nothing_to_inflate():
    assert await whole(await Caller().ask(said("gzip", b""))) == (b"", True)
