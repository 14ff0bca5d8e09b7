from __future__ import annotations

import struct
import zlib
from itertools import pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from service.errors import FaultKind, ProviderFault
from service.providers.dialects.dialect import Event
from service.providers.framing.eventstream import EventStreamFramer
from tests.support import event_frames as frames

STREAM = (
    frames.event("messageStart", {"role": "assistant"})
    + frames.event("delta", {"text": "naïve 漢字 \U0001f600"})
    + frames.event("empty", b"")
    + frames.exception("throttlingException", {"message": "slow down"})
)
EVENTS = [
    Event("messageStart", b'{"role": "assistant"}'),
    Event("delta", b'{"text": "na\\u00efve \\u6f22\\u5b57 \\ud83d\\ude00"}'),
    Event("empty", b""),
    Event("exception:throttlingException", b'{"message": "slow down"}'),
]
# Every type of header, with a value of its size.
ALL_TYPES = (
    frames.header("true", 0, b""),
    frames.header("false", 1, b""),
    frames.header("byte", 2, b"\xff"),
    frames.header("short", 3, b"\xff\xfe"),
    frames.header("int", 4, b"\x00" * 4),
    frames.header("long", 5, b"\x80" * 8),
    frames.header("bytes", 6, b"\x00\x02\xff\xfe"),
    frames.string("string", "é"),
    frames.header("timestamp", 8, b"\x01" * 8),
    frames.header("uuid", 9, b"\x02" * 16),
)


def read(*pieces: bytes) -> list[Event]:
    framer = EventStreamFramer()
    return [event for piece in pieces for event in framer.feed(piece)] + framer.end()


def read_to_the_fault(*pieces: bytes) -> tuple[list[Event], bool]:
    """The events, and whether the stream turned out to be broken."""
    framer, events = EventStreamFramer(), []
    try:
        for piece in pieces:
            events += framer.feed(piece)
        events += framer.end()
    except ProviderFault as fault:
        assert fault.kind is FaultKind.MALFORMED
        return events, True
    return events, False


def cut(data: bytes, places: list[int]) -> list[bytes]:
    return [data[a:b] for a, b in pairwise([0, *sorted(places), len(data)])]


def prelude(size: int, headers_size: int) -> bytes:
    lengths = struct.pack(">II", size, headers_size)
    return lengths + struct.pack(">I", zlib.crc32(lengths))


def test_frames_become_events_by_the_names_that_their_headers_give() -> None:
    assert read(STREAM) == EVENTS


@given(st.lists(st.integers(0, len(STREAM)), max_size=20))
def test_the_events_do_not_depend_on_how_the_bytes_were_split(places: list[int]) -> None:
    assert read(*cut(STREAM, places)) == EVENTS


def test_a_stream_that_comes_byte_by_byte_gives_each_event_with_its_last_byte() -> None:
    framer = EventStreamFramer()
    first = frames.event("messageStart", {})
    for byte in first[:-1]:
        assert framer.feed(bytes([byte])) == []
    assert framer.feed(first[-1:]) == [Event("messageStart", b"{}")]


@pytest.mark.parametrize("kept", range(1, len(frames.event("a", b"{}"))))
def test_half_a_frame_at_the_end_is_no_event(kept: int) -> None:
    framer = EventStreamFramer()
    assert framer.feed(frames.event("a", b"{}")[:kept]) == []
    assert framer.end() == []


@settings(max_examples=300)
@given(st.integers(0, len(STREAM) * 8 - 1), st.lists(st.integers(0, len(STREAM)), max_size=3))
def test_a_bit_that_flipped_is_found_and_what_came_before_it_is_given(
    bit: int, places: list[int]
) -> None:
    damaged = bytearray(STREAM)
    damaged[bit // 8] ^= 1 << bit % 8
    events, broken = read_to_the_fault(*cut(bytes(damaged), places))
    assert broken
    sound = [event for event, end in zip(EVENTS, _ends(), strict=True) if end <= bit // 8]
    assert events == sound


def _ends() -> list[int]:
    """Where each frame of the stream ends, by the lengths it says itself."""
    ends, at = [], 0
    while at < len(STREAM):
        at += struct.unpack_from(">I", STREAM, at)[0]
        ends.append(at)
    return ends


@given(st.binary(max_size=200), st.lists(st.integers(0, 200), max_size=3))
def test_garbage_is_a_fault_or_nothing_yet_however_it_is_split(
    data: bytes, places: list[int]
) -> None:
    within = [place for place in places if place <= len(data)]
    assert read_to_the_fault(*cut(data, within)) == read_to_the_fault(data)


@pytest.mark.parametrize(
    ("size", "headers_size"),
    [(0, 0), (15, 0), (16, 1), (40, 25), (2**32 - 1, 0), (26 * 2**20, 0), (2**20, 2**17 + 1)],
)
def test_lengths_that_no_frame_has_are_refused_before_the_frame_is_waited_for(
    size: int, headers_size: int
) -> None:
    with pytest.raises(ProviderFault) as raised:
        EventStreamFramer().feed(prelude(size, headers_size))
    assert raised.value.kind is FaultKind.MALFORMED


def test_a_frame_may_have_as_many_bytes_as_is_said_and_no_more() -> None:
    whole = frames.event("a", b"x" * 100)
    assert EventStreamFramer(largest=len(whole)).feed(whole) == [Event("a", b"x" * 100)]
    with pytest.raises(ProviderFault):
        EventStreamFramer(largest=len(whole) - 1).feed(whole)


def test_a_large_frame_in_small_pieces_is_read_whole() -> None:
    payload = b"x" * 3_000_000
    data = frames.event("a", payload)
    pieces = [data[i : i + 1000] for i in range(0, len(data), 1000)]
    assert read(*pieces) == [Event("a", payload)]


def test_headers_of_every_type_are_stepped_over() -> None:
    headers = b"".join(ALL_TYPES) + frames.string(":event-type", "seen")
    assert read(frames.frame(headers, b"{}")) == [Event("seen", b"{}")]


@pytest.mark.parametrize("header", ALL_TYPES)
def test_a_header_that_is_cut_off_is_a_fault(header: bytes) -> None:
    for kept in range(1, len(header)):
        assert read_to_the_fault(frames.frame(header[:kept], b"")) == ([], True)


@pytest.mark.parametrize(
    "headers",
    [
        frames.header("new", 10, b""),
        frames.header("", 0, b""),
        frames.string("a", "1") + frames.string("a", "2"),
        frames.header(":event-type", 7, b"\x00\x01\xff"),
        b"\x01\xff\x00" + frames.header("a", 7, b"\x00\x01\xff"),
    ],
    ids=["unknown type", "no name", "twice", "value not UTF-8", "name not UTF-8"],
)
def test_headers_that_break_the_format_are_a_fault(headers: bytes) -> None:
    assert read_to_the_fault(frames.frame(headers, b"")) == ([], True)


def test_a_frame_without_headers_is_an_event_without_a_name() -> None:
    assert read(frames.frame(b"", b"x")) == [Event("", b"x")]


def test_a_message_type_that_nobody_knows_gives_an_event_without_a_name() -> None:
    headers = frames.string(":message-type", "news") + frames.string(":event-type", "delta")
    assert read(frames.frame(headers, b"x")) == [Event("", b"x")]


def test_an_error_says_its_code_and_its_message() -> None:
    assert read(frames.error("InternalFailure", "né")) == [
        Event("error:InternalFailure", "né".encode())
    ]


def test_an_error_with_a_payload_says_that() -> None:
    headers = frames.string(":message-type", "error") + frames.string(":error-message", "a")
    assert read(frames.frame(headers, b"b")) == [Event("error:", b"b")]


def test_after_a_fault_nothing_more_is_read() -> None:
    framer = EventStreamFramer()
    with pytest.raises(ProviderFault):
        framer.feed(prelude(0, 0))
    with pytest.raises(ProviderFault):
        framer.feed(STREAM)
    with pytest.raises(ProviderFault):
        framer.end()
