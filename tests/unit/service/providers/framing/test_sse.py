from __future__ import annotations

import re
from itertools import pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from service.errors import FaultKind, ProviderFault
from service.providers.dialects.dialect import Event
from service.providers.framing.sse import SseFramer
from tests.support.shared import shared_json

USUAL = b'data: {"a":1}\n\ndata: {"b":"\xe2\x82\xac"}\n\ndata: [DONE]\n\n'
USUAL_EVENTS = [Event("", b'{"a":1}'), Event("", b'{"b":"\xe2\x82\xac"}'), Event("", b"[DONE]")]


def frame(*pieces: bytes, largest: int = 2**20) -> list[Event]:
    framer = SseFramer(largest=largest)
    return [event for piece in pieces for event in framer.feed(piece)]


def frame_to_the_end(*pieces: bytes) -> list[Event]:
    framer = SseFramer()
    events = [event for piece in pieces for event in framer.feed(piece)]
    return events + framer.end()


def by_the_book(stream: bytes) -> list[Event]:
    """The algorithm of the standard over a whole stream, one step at a time."""
    events: list[Event] = []
    data: list[bytes] = []
    name = b""
    lines = re.split(rb"\r\n|\n|\r", stream.removeprefix(b"\xef\xbb\xbf"))
    for line in lines[:-1]:  # what follows the last line end is no line
        field, colon, value = line.partition(b":")
        if not line:
            if data:
                events.append(Event(name.decode(errors="replace"), b"\n".join(data)))
            data, name = [], b""
        elif field == b"data":
            data.append(value[1:] if colon and value[:1] == b" " else value)
        elif field == b"event":
            name = value[1:] if value[:1] == b" " else value
    return events


def test_every_known_vector_gives_the_events_that_the_standard_gives() -> None:
    for vector in shared_json("nasty", "sse_vectors.json"):
        wanted = [
            Event("", event.encode())
            if isinstance(event, str)
            else Event(event[0], event[1].encode())
            for event in vector["events"]
        ]
        stream = vector["latin1"].encode("latin-1")
        assert frame(stream) == wanted, vector["name"]
        assert frame(*(bytes([byte]) for byte in stream)) == wanted, vector["name"]


@pytest.mark.parametrize("end", [b"\n", b"\r\n", b"\r"])
@pytest.mark.parametrize("mark", [b"", b"\xef\xbb\xbf"])
def test_a_stream_may_be_split_at_any_byte(end: bytes, mark: bytes) -> None:
    stream = mark + USUAL.replace(b"\n", end)
    for cut in range(len(stream) + 1):
        assert frame(stream[:cut], stream[cut:]) == USUAL_EVENTS


def test_nothing_may_come_between_cr_and_lf() -> None:
    assert frame(b"data: 1\r", b"", b"\ndata: 2\r", b"", b"\n\r\n") == [Event("", b"1\n2")]


_LINES = st.one_of(
    st.sampled_from(
        [b"", b"", b"", b"data", b"data:", b"event", b"event: x", b"event:", b":", b"id: 1"]
    ),
    st.sampled_from([b"data: {}", b"data:x", b"data:  x", b"retry: 5", b"DATA: x", b" data: x"]),
    st.sampled_from(["data: €\u2028\u0085\x0b", "event: ü", "\ufeffdata: x"]).map(str.encode),
    st.binary(max_size=6).map(lambda line: line.replace(b"\r", b"").replace(b"\n", b"")),
)


@given(
    lines=st.lists(st.tuples(_LINES, st.sampled_from([b"\n", b"\r\n", b"\r"])), max_size=20),
    start=st.sampled_from([b"", b"\xef\xbb\xbf", b"\xef\xbb", b"\xef\xbb\xbf\xef\xbb\xbf"]),
    cuts=st.lists(st.integers(0, 200), max_size=8),
)
@settings(deadline=None, max_examples=300)
def test_any_stream_in_any_pieces_gives_what_the_standard_gives(
    lines: list[tuple[bytes, bytes]], start: bytes, cuts: list[int]
) -> None:
    stream = start + b"".join(line + end for line, end in lines)
    places = [0, *sorted(min(cut, len(stream)) for cut in cuts), len(stream)]
    pieces = [stream[a:b] for a, b in pairwise(places)]
    assert frame(*pieces) == by_the_book(stream)


def test_a_comment_is_no_event_and_does_not_end_one() -> None:
    assert frame(b": waiting\n\ndata: 1\n: still waiting\ndata: 2\n\n") == [Event("", b"1\n2")]


def test_the_name_of_an_event_does_not_stick_to_the_next() -> None:
    events = frame(b"event: error\ndata: 1\n\ndata: 2\n\nevent: lost\n\ndata: 3\n\n")
    assert events == [Event("error", b"1"), Event("", b"2"), Event("", b"3")]


@pytest.mark.parametrize(
    "rest",
    [
        b"data: [DONE]",
        b"data: [DONE]\n",
        b"data:[DONE]\r\n",
        b'data: {"a":1}',
        b'data: {"a":1}\n: x',
    ],
)
def test_at_the_end_a_whole_event_needs_no_blank_line(rest: bytes) -> None:
    (event,) = frame_to_the_end(rest)
    assert event.data in (b"[DONE]", b'{"a":1}')


def test_at_the_end_an_event_keeps_its_name() -> None:
    assert frame_to_the_end(b"event: error\ndata: {}") == [Event("error", b"{}")]


@pytest.mark.parametrize(
    "rest",
    [
        *(b"", b"data", b"data: ", b"data: [DONE", b'data: {"a":1', b'data: {"a":{"b":1}'),
        *(b"data: 12\n", b"data: [1]", b"event: error\n", b": [DONE]", b'id: {"a":1}'),
        b'data: {"a":"\xe2\x82',
    ],
)
def test_at_the_end_an_event_that_may_be_cut_is_dropped(rest: bytes) -> None:
    assert frame_to_the_end(rest) == []


def test_a_json_object_cut_anywhere_is_dropped_at_the_end() -> None:
    whole = b'data: {"a":{"b":[1,{"c":"}"}]},"d":"\xe2\x82\xac"}'
    assert len(frame_to_the_end(whole)) == 1
    for cut in range(len(whole)):
        assert frame_to_the_end(whole[:cut]) == []


def test_a_large_event_in_small_pieces_takes_linear_time() -> None:
    # Putting together what has come, at every piece, would copy 50 GB here.
    text = b"x" * 10_000_000
    stream = b"data: " + text + b"\n\n"
    assert frame(*(stream[i : i + 1000] for i in range(0, len(stream), 1000)), largest=2**24) == [
        Event("", text)
    ]


def test_an_event_of_many_lines_in_small_pieces_takes_linear_time() -> None:
    lines = 300_000
    stream = b"data:x\n" * lines + b"\n"
    pieces = (stream[i : i + 10] for i in range(0, len(stream), 10))
    assert frame(*pieces, largest=2**24) == [Event("", b"\n".join([b"x"] * lines))]


@pytest.mark.parametrize("line", [b"data: %s\n\n", b"data: %s", b": %s", b"data: %s\n" * 3])
@pytest.mark.parametrize("size", [1, 7, 1000])
def test_what_is_larger_than_the_limit_is_refused_however_it_comes(line: bytes, size: int) -> None:
    stream = line.replace(b"%s", b"x" * 101)
    with pytest.raises(ProviderFault) as caught:
        frame(*(stream[i : i + size] for i in range(0, len(stream), size)), largest=100)
    assert caught.value.kind is FaultKind.MALFORMED


def test_many_events_may_be_larger_than_the_limit_together() -> None:
    assert len(frame(USUAL * 100, largest=40)) == 300
