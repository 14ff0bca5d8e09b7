from __future__ import annotations

from itertools import pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from service.errors import FaultKind, ProviderFault
from service.providers.dialects.dialect import Event
from service.providers.framing.ndjson import NdjsonFramer

USUAL = b'{"a":1}\n{"b":"\xe2\x82\xac"}\n{"done":true}\n'
USUAL_EVENTS = [Event("", line) for line in USUAL.split(b"\n")[:-1]]


def frame(*pieces: bytes, largest: int = 2**20) -> list[Event]:
    framer = NdjsonFramer(largest=largest)
    return [event for piece in pieces for event in framer.feed(piece)]


def frame_to_the_end(*pieces: bytes) -> list[Event]:
    framer = NdjsonFramer()
    events = [event for piece in pieces for event in framer.feed(piece)]
    return events + framer.end()


def until_the_fault(pieces: list[bytes], largest: int) -> tuple[list[Event], bool]:
    """All events of a stream, and whether it was refused after them."""
    framer = NdjsonFramer(largest=largest)
    events: list[Event] = []
    try:
        for piece in pieces:
            events += framer.feed(piece)
        events += framer.end()
    except ProviderFault as fault:
        assert fault.kind is FaultKind.MALFORMED
        return events, True
    return events, False


@pytest.mark.parametrize("end", [b"\n", b"\r\n", b"\n\n", b" \r\n\r\n\t\n"])
@pytest.mark.parametrize("mark", [b"", b"\xef\xbb\xbf"])
def test_a_stream_may_be_split_at_any_byte(end: bytes, mark: bytes) -> None:
    stream = mark + USUAL.replace(b"\n", end)
    for cut in range(len(stream) + 1):
        assert frame(stream[:cut], stream[cut:]) == USUAL_EVENTS
    assert frame(*(bytes([byte]) for byte in stream)) == USUAL_EVENTS


@given(
    lines=st.lists(
        st.sampled_from([b"", b"\r", b" ", b"{}", b'{"a":"\xe2\x80\xa8\xc2\x85"}\r', b"\r{}", b"x"])
        | st.binary(max_size=4).map(lambda line: line.replace(b"\n", b"")),
        max_size=12,
    ),
    start=st.sampled_from([b"", b"\xef\xbb\xbf", b"\xef\xbb", b"\xef\xbb\xbf\xef\xbb\xbf"]),
    cuts=st.lists(st.integers(0, 100), max_size=8),
)
@settings(deadline=None, max_examples=200)
def test_any_stream_in_any_pieces_gives_its_lines(
    lines: list[bytes], start: bytes, cuts: list[int]
) -> None:
    stream = start + b"".join(line + b"\n" for line in lines)
    places = [0, *sorted(min(cut, len(stream)) for cut in cuts), len(stream)]
    pieces = [stream[a:b] for a, b in pairwise(places)]
    *wanted, _ = stream.removeprefix(b"\xef\xbb\xbf").split(b"\n")
    found = (line.strip(b" \t\r") for line in wanted)
    assert frame(*pieces) == [Event("", line) for line in found if line]


def test_a_mark_counts_at_the_very_start_only() -> None:
    assert frame(b"{}\n\xef\xbb\xbf{}\n") == [Event("", b"{}"), Event("", b"\xef\xbb\xbf{}")]


@pytest.mark.parametrize("rest", [b'{"a":1}', b'{"a":1}\r', b' {"a":1} ', b'\n{"a":1}'])
def test_at_the_end_a_whole_object_needs_no_line_feed(rest: bytes) -> None:
    assert frame_to_the_end(b"{}\n", rest) == [Event("", b"{}"), Event("", b'{"a":1}')]


@pytest.mark.parametrize("rest", [b"", b" ", b"12", b"[1]", b'"x"', b"true", b"{", b"\xef\xbb"])
def test_at_the_end_what_may_be_cut_is_dropped(rest: bytes) -> None:
    assert frame_to_the_end(rest) == []


def test_an_object_cut_anywhere_is_dropped_at_the_end() -> None:
    whole = b'{"a":{"b":[1,{"c":"}"}]},"d":"\xe2\x82\xac"}'
    assert frame_to_the_end(whole) == [Event("", whole)]
    for cut in range(len(whole)):
        assert frame_to_the_end(whole[:cut]) == []


def test_a_large_line_in_small_pieces_takes_linear_time() -> None:
    # Putting together what has come, at every piece, would copy 50 GB here.
    line = b'{"a":"' + b"x" * 10_000_000 + b'"}'
    stream = line + b"\n"
    pieces = (stream[i : i + 1000] for i in range(0, len(stream), 1000))
    assert frame(*pieces, largest=2**24) == [Event("", line)]


@pytest.mark.parametrize("end", [b"", b"\n", b"\n{}\n"])
@pytest.mark.parametrize("size", [1, 7, 1000])
def test_a_line_over_the_limit_is_refused_however_it_comes(end: bytes, size: int) -> None:
    stream = b"x" * 101 + end
    with pytest.raises(ProviderFault) as caught:
        frame(*(stream[i : i + size] for i in range(0, len(stream), size)), largest=100)
    assert caught.value.kind is FaultKind.MALFORMED


@pytest.mark.parametrize("end", [b"", b"\n", b"\r\n", b"\n{}\n"])
def test_what_comes_before_a_line_over_the_limit_does_not_depend_on_the_pieces(end: bytes) -> None:
    stream = USUAL + b"x" * 101 + end
    for cut in range(len(stream) + 1):
        assert until_the_fault([stream[:cut], stream[cut:]], 100) == (USUAL_EVENTS, True)
    assert until_the_fault([stream], 100) == (USUAL_EVENTS, True)


def test_the_fault_is_raised_again_by_every_call_after_it() -> None:
    framer = NdjsonFramer(largest=3)
    assert framer.feed(b"{}\n12345\n{}\n") == [Event("", b"{}")]
    with pytest.raises(ProviderFault):
        framer.feed(b"{}\n")
    with pytest.raises(ProviderFault):
        framer.end()


def test_many_lines_may_be_larger_than_the_limit_together() -> None:
    assert len(frame(USUAL * 100, largest=13)) == 300
