"""Whatever a provider sends, it is an answer or a ProviderFault."""

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
from service.providers.dialects.openai import OpenAiDialect
from tests.support.shared import require_shared, shared_names
from tests.unit.service.providers.dialects.reading import fold, is_complete, whole

DIALECT = OpenAiDialect()
Path = tuple[str | int, ...]

_TOKEN = {"token": "a", "logprob": -0.5, "bytes": [97], "top_logprobs": []}
_MESSAGE = {
    "role": "assistant",
    "content": [{"type": "text", "text": "a"}, {"type": "thinking", "thinking": [{"text": "b"}]}],
    "refusal": "no",
    "reasoning_content": "hm",
    "reasoning": "hm",
    "reasoning_details": [{"type": "reasoning.text", "text": "hm", "index": 0, "signature": "s"}],
    "reasoning_opaque": "o",
    "extra_content": {"google": {"thought_signature": "s"}},
    "tool_calls": [
        {
            "index": 0,
            "id": "c",
            "type": "function",
            "function": {"name": "f", "arguments": "{}"},
            "extra_content": {"google": {}},
        },
        {"index": 1, "id": "d", "function": {"name": "g", "arguments": {"a": 1}}},
    ],
    "function_call": {"name": "f", "arguments": "{}"},
}
_CHOICE = {
    "index": 0,
    "message": _MESSAGE,
    "delta": _MESSAGE,
    "finish_reason": "stop",
    "logprobs": {"content": [_TOKEN | {"top_logprobs": [_TOKEN]}], "refusal": [_TOKEN]},
}
FULL = {
    "id": "x",
    "object": "chat.completion",
    "system_fingerprint": "fp",
    "choices": [_CHOICE, {"index": 1, "message": {"content": "b"}, "delta": {"content": "b"}}],
    "usage": {
        "prompt_tokens": 5,
        "completion_tokens": 2,
        "total_tokens": 7,
        "prompt_tokens_details": {"cached_tokens": 1, "cache_write_tokens": 1},
        "completion_tokens_details": {"reasoning_tokens": 1},
        "cached_tokens": 1,
    },
    "x_groq": {"usage": {"prompt_tokens": 5, "completion_tokens": 2}},
}
WRONG: list[Any] = [
    None,
    True,
    0,
    -1,
    1.5,
    10**30,
    "",
    "x",
    "\ud800",
    [],
    [None],
    [[]],
    {},
    {"a": {}},
]


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
    try:
        answer = DIALECT.decode(body)
    except ProviderFault:
        pass
    else:
        assert all(said.finish for said in whole(answer).values())
        assert answer.choices
    decoder, chunk = DIALECT.decode_stream(), pb.ChatCompletionChunk()
    try:
        decoder.decode(Event("", body), chunk)
        decoder.decode(Event("", b"[DONE]"), chunk)
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


def is_read(path: Path) -> bool:
    """Whether a stream's decoder looks at the place; opaque state is looked at by nobody."""
    opaque = {"message", "reasoning_details", "extra_content", "arguments"} & set(path[:-1])
    unread = path[-1] in ("object", "role") or path[-3:] == ("tool_calls", 0, "type")
    return not opaque and not unread


@pytest.mark.parametrize(
    "path",
    [path for path in paths(FULL) if path and is_read(path)],
    ids=lambda p: ".".join(map(str, p)),
)
def test_a_wrong_type_in_a_place_that_is_read_is_malformed(path: Path) -> None:
    right: Any = FULL
    for step in path:
        right = right[step]
    wrong = "x" if isinstance(right, int | float) else 5
    body = json.dumps(replaced(FULL, path, wrong)).encode()
    with pytest.raises(ProviderFault) as caught:
        DIALECT.decode_stream().decode(Event("", body), pb.ChatCompletionChunk())
    assert caught.value.kind is FaultKind.MALFORMED


_ANY = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.sampled_from(["choices", "delta", "error", "text", "a"]), inner, max_size=3
        )
    ),
    max_leaves=5,
)


@given(changes=st.lists(st.tuples(st.integers(0, 10**6), _ANY), min_size=1, max_size=4))
@settings(deadline=None, max_examples=300)
def test_several_wrong_values_are_no_more_than_a_fault(changes: list[tuple[int, Any]]) -> None:
    value: Any = FULL
    for place, by in changes:
        places = list(paths(value))
        value = replaced(value, places[place % len(places)], by)
    survives(json.dumps(value).encode())


@given(data=st.data())
@settings(deadline=None, max_examples=300)
def test_damaged_bytes_are_no_more_than_a_fault(data: st.DataObject) -> None:
    body = bytearray(json.dumps(FULL).encode())
    for _ in range(data.draw(st.integers(1, 4))):
        place = data.draw(st.integers(0, len(body) - 1))
        body[place : place + data.draw(st.integers(0, 3))] = data.draw(st.binary(max_size=3))
    survives(bytes(body))


@given(cut=st.integers(0, len(json.dumps(FULL)) - 1))
@settings(deadline=None, max_examples=50)
def test_a_body_that_is_cut_is_malformed(cut: int) -> None:
    with pytest.raises(ProviderFault) as caught:
        DIALECT.decode(json.dumps(FULL).encode()[:cut])
    assert caught.value.kind is FaultKind.MALFORMED


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
        b"true",
        b"0",
        b'"x"',
        b"[]",
        b"{}",
        b'{"choices":null}',
        b'{"choices":"x"}',
        b"[" * 1_000_000,
        b'{"a":' * 200_000,
        b'{"choices":[{"message":{"content":' + b"[" * 100_000,
        b'{"choices":[{"message":{"tool_calls":[{"function":{"arguments":{"a":' + b"[" * 990,
        b" " * 1_000_000,
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
    call = b'{"function":{"name":"f","arguments":%s}}' % nested
    survives(
        b'{"choices":[{"message":{"tool_calls":[%s]},"delta":{"tool_calls":[%s]}}]}' % (call, call)
    )


@pytest.mark.parametrize("name", shared_names("nasty", "jsontestsuite", pattern="*"))
def test_no_nasty_file_is_taken_for_an_answer(name: str) -> None:
    body = require_shared("nasty", "jsontestsuite", name).read_bytes()
    with pytest.raises(ProviderFault):
        DIALECT.decode(body)
    decoder, chunk = DIALECT.decode_stream(), pb.ChatCompletionChunk()
    for event in (Event("", body), Event("error", body)):
        with contextlib.suppress(ProviderFault):
            decoder.decode(event, chunk)
    assert not chunk.choices
    assert not is_complete(decoder)
    assert isinstance(DIALECT.decode_error(500, body), str)
