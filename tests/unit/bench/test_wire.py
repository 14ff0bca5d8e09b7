"""The load's reading of HTTP: strict, and the same however the bytes are cut."""

from __future__ import annotations

import pytest

from tests.bench.wire import ResponseReader, WrongAnswer

LENGTH = b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello"
CHUNKED = (
    b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"
    b"5\r\nhello\r\nA\r\n, world..!\r\n0\r\n\r\n"
)


@pytest.mark.parametrize(("answer", "body"), [(LENGTH, b"hello"), (CHUNKED, b"hello, world..!")])
def test_a_response_reads_the_same_however_it_is_cut(answer: bytes, body: bytes) -> None:
    for cut in range(len(answer)):
        reader = ResponseReader()
        assert reader.feed(answer[:cut]) + reader.feed(answer[cut:]) == body
        assert reader.ended
        assert reader.status == 200


@pytest.mark.parametrize("answer", [LENGTH, CHUNKED])
def test_a_response_without_its_end_has_not_ended(answer: bytes) -> None:
    for end in range(len(answer)):
        reader = ResponseReader()
        reader.feed(answer[:end])
        assert not reader.ended


@pytest.mark.parametrize("answer", [LENGTH, CHUNKED])
def test_bytes_after_the_end_are_noticed(answer: bytes) -> None:
    with pytest.raises(WrongAnswer):
        ResponseReader().feed(answer + b"x")
    reader = ResponseReader()
    reader.feed(answer)
    with pytest.raises(WrongAnswer):
        reader.feed(b"x")


def test_what_is_no_http_is_noticed() -> None:
    for told in (b"HTTP/1.0 200 OK\r\n\r\n", b"HTTP/1.1 200 OK\r\n\r\n"):
        with pytest.raises(WrongAnswer):
            ResponseReader().feed(told)
    with pytest.raises(WrongAnswer):
        ResponseReader().feed(CHUNKED.replace(b"hello\r\n", b"hello!!"))
