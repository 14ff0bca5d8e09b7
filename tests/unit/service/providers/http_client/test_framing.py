"""Where an answer begins and ends: for well-framed bytes, and for hostile ones."""

from __future__ import annotations

import pytest

from service.providers.http_client.errors import BadAnswer, ConnectionLost
from tests.unit.service.providers.http_client.wires import CHUNKED, HELLO, OK, Caller, whole

CHUNKS = CHUNKED + b"2\r\nhe\r\n3;x=y\r\nllo\r\n0\r\nX-Trailer: y\r\n\r\n"
WHOLE = {
    "a length": HELLO,
    "chunks, an extension, a trailer": CHUNKS,
    "a size with spaces after it": CHUNKED + b"5  \r\nhello\r\n0\r\n\r\n",
    "interim answers before it": b"HTTP/1.1 100 Continue\r\n\r\n"
    b"HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\n" + HELLO,
    "no reason": b"HTTP/1.1 200\r\nContent-Length: 5\r\n\r\nhello",
    "line feeds only": HELLO.replace(b"\r\n", b"\n"),
    "empty lines before it": b"\r\n\r\n" + HELLO,
    "an empty header": OK + b"X-Empty:\r\nContent-Length: 5\r\n\r\nhello",
    "a header over two lines": OK + b"X-Long: a\r\n b\r\nContent-Length: 5\r\n\r\nhello",
    "an offer of another protocol": OK + b"Connection: Upgrade, Keep-Alive\r\nUpgrade: h2\r\n"
    b"Content-Length: 5\r\n\r\nhello",
}


@pytest.mark.parametrize("said", WHOLE.values(), ids=WHOLE)
@pytest.mark.parametrize("at_a_time", [1, 2, 7, 10**6])
async def test_an_answer_is_whole_however_it_is_cut_and_its_connection_is_used_again(
    said, at_a_time
):
    caller = Caller()
    for _ in range(2):
        pieces = [said[at : at + at_a_time] for at in range(0, len(said), at_a_time)]
        response = await caller.ask(*pieces)
        assert (response.status, response.ended) == (200, True)
        assert await whole(response) == (b"hello", True)
    assert len(caller.wires.made) == 1


NO_BODY = {
    "204": b"HTTP/1.1 204 No Content\r\n\r\n",
    "204 with a length": b"HTTP/1.1 204 No Content\r\nContent-Length: 9\r\n\r\n",
    "304": b"HTTP/1.1 304 Not Modified\r\nContent-Length: 9\r\n\r\n",
    "nothing": OK + b"Content-Length: 0\r\n\r\n",
    "no chunk": CHUNKED + b"0\r\n\r\n",
}


@pytest.mark.parametrize("said", NO_BODY.values(), ids=NO_BODY)
async def test_an_answer_without_a_body_is_over_with_its_head(said):
    caller = Caller()
    response = await caller.ask(said)
    assert response.ended
    assert await whole(response) == (b"", True)
    await caller.ask(HELLO)
    assert len(caller.wires.made) == 1


LAST = {
    "Connection: close": OK + b"Connection: close\r\nContent-Length: 5\r\n\r\nhello",
    "HTTP/1.0": b"HTTP/1.0 200 OK\r\nContent-Length: 5\r\n\r\nhello",
    "two answers": HELLO + HELLO,
    "garbage after it": HELLO + b"garbage",
    "half an answer after it": HELLO + HELLO[:9],
}


@pytest.mark.parametrize("said", LAST.values(), ids=LAST)
async def test_a_connection_that_may_not_be_used_again_is_closed_and_the_answer_is_whole(said):
    caller = Caller()
    response = await caller.ask(said)
    assert await whole(response) == (b"hello", True)
    assert caller.wires.last.is_closing()
    await caller.ask(HELLO)
    assert len(caller.wires.made) == 2


async def test_old_http_that_keeps_the_connection_may_be_used_again():
    caller = Caller()
    said = b"HTTP/1.0 200 OK\r\nConnection: keep-alive\r\nContent-Length: 5\r\n\r\nhello"
    for _ in range(2):
        assert await whole(await caller.ask(said)) == (b"hello", True)
    assert len(caller.wires.made) == 1


UNTIL_CLOSED = {"HTTP/1.1": OK + b"\r\n", "HTTP/1.0": b"HTTP/1.0 200 OK\r\nServer: x\r\n\r\n"}


@pytest.mark.parametrize("head", UNTIL_CLOSED.values(), ids=UNTIL_CLOSED)
async def test_a_body_without_a_length_goes_on_to_the_end_of_its_connection(head):
    caller = Caller()
    response = await caller.ask(head + b"hel", b"lo")
    assert not response.ended
    caller.wires.last.hangs_up()
    assert response.ended
    assert await whole(response) == (b"hello", True)


async def test_a_body_without_a_length_is_cut_by_a_reset():
    caller = Caller()
    response = await caller.ask(OK + b"\r\nhel")
    caller.wires.last.breaks()
    assert await whole(response) == (b"hel", False)


NO_ANSWER = {
    "garbage": b"what is this\r\n\r\n",
    "another protocol": b"\x15\x03\x01\x00\x02\x02\x16",
    "a request": b"GET / HTTP/1.1\r\n\r\n",
    "a version that is none": b"HTTP/9.9 200 OK\r\n\r\n",
    "a status of two digits": b"HTTP/1.1 20 OK\r\n\r\n",
    "a status of four": b"HTTP/1.1 2000 OK\r\n\r\n",
    "a status of zeros": b"HTTP/1.1 000 No\r\nContent-Length: 0\r\n\r\n",
    "a switch of protocols": b"HTTP/1.1 101 Yes\r\nConnection: upgrade\r\nUpgrade: x\r\n\r\n",
    "a switch to none": b"HTTP/1.1 101 Yes\r\n\r\n",
    "length and chunks": OK + b"Content-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\nhello",
    "chunks and length": OK + b"Transfer-Encoding: chunked\r\nContent-Length: 5\r\n\r\nhello",
    "two lengths": OK + b"Content-Length: 5\r\nContent-Length: 6\r\n\r\nhello!",
    "two lengths in one": OK + b"Content-Length: 5, 5\r\n\r\nhello",
    "a negative length": OK + b"Content-Length: -1\r\n\r\n",
    "a huge length": OK + b"Content-Length: 99999999999999999999\r\n\r\n",
    "a length with a sign": OK + b"Content-Length: +5\r\n\r\nhello",
    "a length in hex": OK + b"Content-Length: 0x5\r\n\r\nhello",
    "no length": OK + b"Content-Length:\r\n\r\nhello",
    "a coding of its own": OK + b"Transfer-Encoding: gzip\r\n\r\nhello",
    "a coding after a space": OK + b"Transfer-Encoding : gzip\r\n\r\nhello",
    "a coding more": OK + b"Transfer-Encoding: gzip, chunked\r\n\r\n0\r\n\r\n",
    "chunks twice": OK + b"Transfer-Encoding: chunked\r\nTransfer-Encoding: gzip\r\n\r\nhello",
    "a header without a colon": OK + b"what is this\r\n\r\n",
    "a name with a space": OK + b"A B: c\r\n\r\n",
    "a zero byte": OK + b"A: b\0c\r\n\r\n",
    "too long a header": OK + b"A: " + b"b" * 8190 + b"\r\n\r\n",
    "too many headers": OK + b"A: b\r\n" * 129 + b"\r\n",
    "a header without an end": OK + b"A: " + b"b" * 70_000,
    "a name without an end": OK + b"A" * 70_000,
    "a reason without an end": b"HTTP/1.1 200 " + b"x" * 70_000,
    "interim answers without an end": b"HTTP/1.1 100 Continue\r\n\r\n" * 3000,
    "empty lines without an end": b"\r\n" * 40_000,
}


@pytest.mark.parametrize("said", NO_ANSWER.values(), ids=NO_ANSWER)
@pytest.mark.parametrize("at_a_time", [1, 1000, 10**6])
async def test_what_is_no_answer_is_never_one(said, at_a_time):
    caller = Caller()
    task = await caller.begin()
    wire = caller.wires.last
    for at in range(0, len(said), at_a_time):
        wire.says(said[at : at + at_a_time])
    assert wire.is_closing()
    with pytest.raises(BadAnswer) as bad:
        await task
    assert bad.value.__cause__ is None


CUT = {
    "a length, and less": OK + b"Content-Length: 6\r\n\r\nhello",
    "a chunk, and less": CHUNKED + b"6\r\nhello",
    "no last chunk": CHUNKED + b"5\r\nhello\r\n",
    "half a last chunk": CHUNKED + b"5\r\nhello\r\n0\r\n",
    "half a trailer": CHUNKED + b"5\r\nhello\r\n0\r\nX: y\r\n",
}


@pytest.mark.parametrize("said", CUT.values(), ids=CUT)
@pytest.mark.parametrize("end", ["hangs_up", "breaks"])
async def test_a_body_that_is_cut_is_given_and_is_not_clean(said, end):
    caller = Caller()
    response = await caller.ask(said)
    getattr(caller.wires.last, end)()
    assert response.ended
    assert await whole(response) == (b"hello", False)


BAD_CHUNKS = [
    b"-1\r\nx", b"zz\r\n", b"\r\n", b"0x1\r\nx", b"10000000000000000\r\nx", b"1\r\nxy\r\n",
    b"+1\r\nx", b"1\nx\n", b"1\r\nx0\r\n\r\n", b"1;" + b"x" * 70_000, b"0\r\nX: " + b"y" * 70_000,
    b"0\r\n" + b"X: y\r\n" * 129, b"0\r\nwhat is this\r\n\r\n",
]  # fmt: skip


@pytest.mark.parametrize("bad", BAD_CHUNKS, ids=lambda it: repr(it[:20]))
async def test_a_body_that_goes_wrong_is_cut_there(bad):
    caller = Caller()
    response = await caller.ask(CHUNKED + b"5\r\nhello\r\n", bad)
    assert caller.wires.last.is_closing()
    body, clean = await whole(response)
    assert not clean
    assert body.startswith(b"hello")
    assert len(body) <= 6


@pytest.mark.parametrize("end", ["hangs_up", "breaks"])
@pytest.mark.parametrize("said", [b"", b"HTTP/1.1 2", OK, b"HTTP/1.1 100 Continue\r\n\r\n"])
async def test_a_connection_that_ends_before_the_answer_begins_is_lost(said, end):
    caller = Caller()
    task = await caller.begin()
    caller.wires.last.says(said)
    getattr(caller.wires.last, end)()
    with pytest.raises(ConnectionLost):
        await task


async def test_headers_are_the_same_in_any_case():
    response = await Caller().ask(
        OK + b"retry-AFTER: 7\r\nRetry-After: 9\r\nX-L: \xe9\r\nContent-Length: 0\r\n\r\n"
    )
    assert response.headers["Retry-After"] == response.headers["RETRY-AFTER"] == "7"
    assert response.headers.get("x-l") == "é"
    assert response.headers.get("x-none", "") == response.headers.get("ŝ", "") == ""
    assert dict(response.headers) == {"retry-after": "7", "x-l": "é", "content-length": "0"}


SPACED = {
    "a length": OK + b"Content-Length : 9\r\n\r\nhello",
    "chunks": OK + b"Transfer-Encoding : chunked\r\n\r\n5\r\nhello\r\n",
}


@pytest.mark.parametrize("said", SPACED.values(), ids=SPACED)
async def test_a_body_is_cut_also_where_a_space_follows_the_name_that_says_how_it_ends(said):
    caller = Caller()
    response = await caller.ask(said)
    caller.wires.last.hangs_up()
    assert await whole(response) == (b"hello", False)


async def test_white_space_around_a_value_is_not_of_the_value():
    response = await Caller().ask(OK + b"retry-after-ms: \t500 \t\r\nContent-Length: 0\r\n\r\n")
    assert response.headers["retry-after-ms"] == "500"


async def test_a_trailer_is_no_header_of_this_answer_or_the_next():
    caller = Caller()
    response = await caller.ask(CHUNKED + b"0\r\nRetry-After: 7\r\n\r\n")
    assert "Retry-After" not in response.headers
    response = await caller.ask(OK + b"Content-Length: 0\r\n\r\n")
    assert dict(response.headers) == {"content-length": "0"}


async def test_a_header_of_an_interim_answer_is_none_of_the_answers():
    response = await Caller().ask(b"HTTP/1.1 103 Early Hints\r\nRetry-After: 7\r\n\r\n" + HELLO)
    assert dict(response.headers) == {"content-length": "5"}
