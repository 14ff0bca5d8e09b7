"""Whatever Gemini, or something in its place, sends: it is an answer or a ProviderFault."""

from __future__ import annotations

import contextlib
import copy
import json
from collections.abc import Iterator
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from llmbase.v1 import chat_completion_pb2 as pb

from service.errors import FaultKind, ProviderFault
from service.providers.dialects.dialect import Event
from service.providers.dialects.gemini import GeminiDialect
from tests.support.shared import require_shared, shared_names
from tests.unit.service.providers.dialects.reading import fold, is_complete, whole

DIALECT = GeminiDialect()
Path = tuple[str | int, ...]

_TOKEN = {"token": "a", "tokenId": 1, "logProbability": -0.5}
_CANDIDATE = {
    "index": 0,
    "content": {
        "role": "model",
        "parts": [
            {"text": "t", "thought": True, "thoughtSignature": "s"},
            {"text": "a", "thoughtSignature": "s"},
            {"functionCall": {"id": "c", "name": "f", "args": {"x": [1]}}, "thoughtSignature": "s"},
            {"inlineData": {"mimeType": "image/png", "data": ""}},
        ],
    },
    "finishReason": "STOP",
    "finishMessage": "m",
    "logprobsResult": {
        "chosenCandidates": [_TOKEN],
        "topCandidates": [{"candidates": [_TOKEN]}],
    },
}
FULL = {
    "candidates": [_CANDIDATE, {"index": 1, "finishReason": 1}],
    "promptFeedback": {"blockReason": "SAFETY"},
    "usageMetadata": {
        "promptTokenCount": 5,
        "toolUsePromptTokenCount": 1,
        "cachedContentTokenCount": 1,
        "candidatesTokenCount": 2,
        "thoughtsTokenCount": 1,
    },
    "responseId": "r",
    "error": None,
}
WRONG: list[Any] = [
    *(None, True, 0, -1, 1.5, 10**30, "", "x", "\ud800", "MALFORMED_FUNCTION_CALL"),
    *([], [None], [[]], {}, {"a": {}}),
]
UNREAD = {"role", "tokenId", "inlineData", "error"}


def paths(value: Any, path: Path = ()) -> Iterator[Path]:
    """Every place in a JSON value."""
    yield path
    items = value.items() if isinstance(value, dict) else ()
    for key, inner in [*items, *(enumerate(value) if isinstance(value, list) else ())]:
        yield from paths(inner, (*path, key))


def replaced(value: Any, path: Path, by: Any) -> Any:
    """A copy of a JSON value with another one in the place."""
    if not path:
        return by
    found = copy.deepcopy(value)
    inner = found
    for step in path[:-1]:
        inner = inner[step]
    inner[path[-1]] = by
    return found


def survives(body: bytes) -> None:
    """Decode as a whole answer and as an event; whatever comes out must keep the contract."""
    with contextlib.suppress(ProviderFault):
        answer = DIALECT.decode(body)
        assert all(said.finish for said in whole(answer).values())
        assert answer.choices
    decoder, chunk = DIALECT.decode_stream(), pb.ChatCompletionChunk()
    try:
        decoder.decode(Event("", body), chunk)
        last = decoder.finish()
    except ProviderFault:
        return
    fold(chunk, last)
    assert is_complete(decoder)


def test_the_full_answer_itself_is_one() -> None:
    body = json.dumps(FULL).encode()
    survives(body)
    assert len(DIALECT.decode(body).choices) == 2


@pytest.mark.parametrize("path", list(paths(FULL)), ids=lambda p: ".".join(map(str, p)))
def test_a_wrong_value_in_any_place_is_no_more_than_a_fault(path: Path) -> None:
    for wrong in WRONG:
        survives(json.dumps(replaced(FULL, path, wrong)).encode())


@pytest.mark.parametrize(
    "path",
    [p for p in paths(FULL) if p and not UNREAD & {*p} and "args" not in p[:-1]],
    ids=lambda p: ".".join(map(str, p)),
)
def test_a_wrong_type_in_a_place_that_is_read_is_malformed(path: Path) -> None:
    body = json.dumps(replaced(FULL, path, [5])).encode()
    with pytest.raises(ProviderFault) as caught:
        DIALECT.decode(body)
    assert caught.value.kind is FaultKind.MALFORMED


_ANY = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.sampled_from(["candidates", "parts", "error", "text", "a"]), inner, max_size=3
        )
    ),
    max_leaves=5,
)


@given(changes=st.lists(st.tuples(st.integers(0, 10**6), _ANY), min_size=1, max_size=4))
@settings(deadline=None, max_examples=200)
def test_several_wrong_values_are_no_more_than_a_fault(changes: list[tuple[int, Any]]) -> None:
    value: Any = FULL
    for place, by in changes:
        places = list(paths(value))
        value = replaced(value, places[place % len(places)], by)
    survives(json.dumps(value).encode())


@given(data=st.data())
@settings(deadline=None, max_examples=200)
def test_damaged_bytes_are_no_more_than_a_fault(data: st.DataObject) -> None:
    body = bytearray(json.dumps(FULL).encode())
    for _ in range(data.draw(st.integers(1, 4))):
        place = data.draw(st.integers(0, len(body) - 1))
        body[place : place + data.draw(st.integers(0, 3))] = data.draw(st.binary(max_size=3))
    survives(bytes(body))


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b" ",
        b"\xff\xfe",
        b"\xef\xbb\xbf{}",
        b"<!doctype html><title>502</title>",
        b"data: {}\n\n",
        b"[DONE]",
        b"null",
        b"0",
        b'"x"',
        b"[]",
        b'[{"candidates":[]}]',
        b'{"candidates":"x"}',
        b'{"no field of ours, nor UTF-8: \xff":1}',
        b"[" * 1_000_000,
        b'{"a":' * 200_000,
        b'{"candidates":[{"content":{"parts":[{"functionCall":{"name":"f","args":{"a":'
        + b"[" * 990,
    ],
    ids=lambda body: body[:24].decode(errors="replace"),
)
def test_a_body_that_is_no_answer_is_malformed(body: bytes) -> None:
    with pytest.raises(ProviderFault) as caught:
        DIALECT.decode(body)
    assert caught.value.kind is FaultKind.MALFORMED


@pytest.mark.parametrize("depth", range(880, 1010, 10))
def test_arguments_at_the_edge_of_what_can_be_nested_are_no_more_than_a_fault(depth: int) -> None:
    nested = b'{"a":' * depth + b"1" + b"}" * depth
    call = b'{"functionCall":{"name":"f","args":%s}}' % nested
    survives(b'{"candidates":[{"content":{"parts":[%s]},"finishReason":"STOP"}]}' % call)


@pytest.mark.parametrize("name", shared_names("nasty", "jsontestsuite", pattern="*"))
def test_no_nasty_file_is_taken_for_an_answer(name: str) -> None:
    body = require_shared("nasty", "jsontestsuite", name).read_bytes()
    with pytest.raises(ProviderFault):
        DIALECT.decode(body)
    decoder, chunk = DIALECT.decode_stream(), pb.ChatCompletionChunk()
    with contextlib.suppress(ProviderFault):
        decoder.decode(Event("", body), chunk)
    assert not chunk.choices
    assert not is_complete(decoder)
    assert isinstance(DIALECT.decode_error(500, body), str)
