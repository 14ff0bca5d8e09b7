from __future__ import annotations

import json
import re

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from service.errors import FaultKind, ProviderFault
from service.providers.dialects.gemini_framing import GeminiFramer

FIRST = b'{"a": "}{\\"\\\\", "b": {"c": []}}'
SECOND = b'{\n  "d": "\xc3\xa9[{",\n  "e": {}\n}'
ERROR = b'{\n  "error": {\n    "code": 503\n  }\n}'


def framed(data: bytes, size: int | None = None) -> list[bytes]:
    framer = GeminiFramer()
    step = size or max(len(data), 1)
    events = [
        event
        for start in range(0, len(data), step)
        for event in framer.feed(data[start : start + step])
    ]
    return [event.data for event in [*events, *framer.end()]]


SSE = b"data: %s\r\n\r\ndata: {}\r\n\r\n" % FIRST
ARRAY = b"[%s\n,\r\n%s]\n" % (FIRST, SECOND)
SHAPES = {
    "events": (SSE, [FIRST, b"{}"]),
    "an array": (ARRAY, [FIRST, SECOND]),
    "an array after a mark and a blank line": (
        b"\xef\xbb\xbf\r\n" + ARRAY,
        [FIRST, SECOND],
    ),
    "an empty array": (b"[]", []),
    "objects on their own": (FIRST + b"\n" + SECOND, [FIRST, SECOND]),
    "an error instead of an event": (b"data: {}\n\n" + ERROR + b"\n", [b"{}", ERROR]),
    "an error right after an event": (b"data: {}\n" + ERROR, [b"{}", ERROR]),
    "an error in an array instead of an event": (
        b"data: {}\r\n\r\n[" + ERROR + b"]",
        [b"{}", ERROR],
    ),
    "a mark before events": (b"\xef\xbb\xbf" + SSE, [FIRST, b"{}"]),
    "an event without its blank line": (b"data: {}", [b"{}"]),
    "comments between events": (b": [{\n\n" + SSE, [FIRST, b"{}"]),
    "a page of HTML": (b"<html>\n<body>{}</body>", []),
}


@pytest.mark.parametrize("size", [None, 1, 2, 3, 7])
@pytest.mark.parametrize("shape", SHAPES)
def test_a_stream_is_cut_into_its_objects_however_it_comes(shape: str, size: int | None) -> None:
    data, wanted = SHAPES[shape]
    assert framed(data, size) == wanted


@pytest.mark.parametrize("end", range(1, len(ARRAY) - 2))
def test_an_object_that_is_cut_is_none(end: int) -> None:
    found = framed(ARRAY[:end])
    assert found == [FIRST, SECOND][: len(found)]
    assert len(found) == (end > len(FIRST))


VALUES = st.recursive(
    st.none() | st.integers() | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=4), inner),
    max_leaves=6,
)
OBJECTS = st.dictionaries(st.text(max_size=4), VALUES, max_size=3)


@given(
    objects=st.lists(OBJECTS, max_size=4), indent=st.sampled_from([None, 1]), size=st.integers(1, 9)
)
@settings(deadline=None, max_examples=150)
def test_any_array_of_objects_is_cut_into_them(
    objects: list[object], indent: int | None, size: int
) -> None:
    data = json.dumps(objects, indent=indent, ensure_ascii=False).encode()
    assert [json.loads(event) for event in framed(data, size)] == objects


@pytest.mark.parametrize(
    "data", [b'[{"a":"' + b"x" * 2000, b'{"a":"' + b"x" * 2000 + b'"}', b"data: " + b"x" * 2000]
)
@pytest.mark.parametrize("size", [100, 5000])
def test_what_is_too_large_is_malformed(data: bytes, size: int) -> None:
    framer = GeminiFramer(largest=1000)
    with pytest.raises(ProviderFault) as caught:
        for piece in re.findall(b"(?s).{1,%d}" % size, data):
            framer.feed(piece)
    assert caught.value.kind is FaultKind.MALFORMED
