"""Whatever a server of the Messages API sends, it is an answer or a ProviderFault."""

from __future__ import annotations

import copy
import json
from collections.abc import Iterator
from contextlib import suppress
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from llmbase.v1 import chat_completion_pb2 as pb

from service.errors import FaultKind, ProviderFault
from service.providers.dialects.anthropic import AnthropicDialect
from service.providers.dialects.dialect import Event
from tests.support.shared import require_shared, shared_names
from tests.unit.service.providers.dialects.reading import fold, is_complete, whole

DIALECT = AnthropicDialect()
Path = tuple[str | int, ...]

USAGE = {
    "input_tokens": 5,
    "cache_creation_input_tokens": 1,
    "cache_read_input_tokens": 2,
    "output_tokens": 9,
    "output_tokens_details": {"thinking_tokens": 3},
}
THOUGHT = {"type": "thinking", "thinking": "hm", "signature": "sig"}
CALL = {"type": "tool_use", "id": "t1", "name": "look", "input": {"a": 1}}
DETAILS = {"type": "refusal", "category": None, "explanation": "no"}
ANSWER = {
    "id": "msg_1",
    "type": "message",
    "role": "assistant",
    "content": [THOUGHT, {"type": "text", "text": "a", "citations": []}, CALL],
    "stop_reason": "refusal",
    "stop_details": DETAILS,
    "usage": USAGE,
}
EVENTS = [
    {"type": "message_start", "message": {"id": "msg_1", "content": [], "usage": USAGE}},
    {"type": "content_block_start", "index": 0, "content_block": THOUGHT},
    {
        "type": "content_block_delta",
        "index": 0,
        "delta": {"type": "thinking_delta", "thinking": "h"},
    },
    {
        "type": "content_block_delta",
        "index": 0,
        "delta": {"type": "signature_delta", "signature": "s"},
    },
    {"type": "content_block_stop", "index": 0},
    {"type": "content_block_start", "index": 1, "content_block": {"type": "text", "text": ""}},
    {"type": "content_block_delta", "index": 1, "delta": {"type": "text_delta", "text": "a"}},
    {"type": "content_block_start", "index": 2, "content_block": CALL},
    {
        "type": "content_block_delta",
        "index": 2,
        "delta": {"type": "input_json_delta", "partial_json": "{}"},
    },
    {
        "type": "message_delta",
        "delta": {"stop_reason": "tool_use", "stop_details": DETAILS},
        "usage": USAGE,
    },
    {"type": "message_stop"},
]
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


def survives_whole(body: bytes) -> None:
    try:
        answer = DIALECT.decode(body)
    except ProviderFault:
        return
    assert all(said.finish for said in whole(answer).values())


def survives_stream(events: list[bytes]) -> None:
    """Decode as a stream; whatever comes out must keep the contract."""
    decoder, chunk = DIALECT.decode_stream(), pb.ChatCompletionChunk()
    try:
        for event in events:
            decoder.decode(Event("", event), chunk)
        last = decoder.finish()
    except ProviderFault:
        return
    fold(chunk, last)
    assert is_complete(decoder)


def dumped(events: Any) -> list[bytes]:
    return [json.dumps(event).encode() for event in events] if isinstance(events, list) else []


def test_the_full_answer_itself_is_one() -> None:
    (said,) = whole(DIALECT.decode(json.dumps(ANSWER).encode())).values()
    assert said.text == "a" and said.calls and said.reasoning == "hm" and said.state
    decoder, chunk = DIALECT.decode_stream(), pb.ChatCompletionChunk()
    for event in dumped(EVENTS):
        decoder.decode(Event("", event), chunk)
    (streamed,) = fold(chunk, decoder.finish()).values()
    assert streamed.text == "a" and streamed.calls and streamed.reasoning == "hmh"


@pytest.mark.parametrize("path", list(paths(ANSWER)), ids=lambda p: ".".join(map(str, p)))
def test_a_wrong_value_in_any_place_of_an_answer_is_no_more_than_a_fault(path: Path) -> None:
    for wrong in WRONG:
        survives_whole(json.dumps(replaced(ANSWER, path, wrong)).encode())


@pytest.mark.parametrize("path", list(paths(EVENTS))[1:], ids=lambda p: ".".join(map(str, p)))
def test_a_wrong_value_in_any_place_of_a_stream_is_no_more_than_a_fault(path: Path) -> None:
    for wrong in WRONG:
        survives_stream(dumped(replaced(EVENTS, path, wrong)))


_ANY = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.sampled_from(["type", "delta", "error", "text", "a"]), inner, max_size=3
        )
    ),
    max_leaves=5,
)


@given(changes=st.lists(st.tuples(st.integers(0, 10**6), _ANY), min_size=1, max_size=4))
@settings(deadline=None, max_examples=200)
def test_several_wrong_values_are_no_more_than_a_fault(changes: list[tuple[int, Any]]) -> None:
    answer: Any = ANSWER
    events: Any = EVENTS
    for place, by in changes:
        places = list(paths(answer))
        answer = replaced(answer, places[place % len(places)], by)
        places = list(paths(events))
        events = replaced(events, places[place % len(places)], by)
    survives_whole(json.dumps(answer).encode())
    survives_stream(dumped(events))


@given(data=st.data())
@settings(deadline=None, max_examples=200)
def test_damaged_bytes_are_no_more_than_a_fault(data: st.DataObject) -> None:
    def damaged(body: bytes) -> bytes:
        found = bytearray(body)
        place = data.draw(st.integers(0, len(found) - 1))
        found[place : place + data.draw(st.integers(0, 3))] = data.draw(st.binary(max_size=3))
        return bytes(found)

    survives_whole(damaged(json.dumps(ANSWER).encode()))
    events = dumped(EVENTS)
    hit = data.draw(st.integers(0, len(events) - 1))
    events[hit] = damaged(events[hit])
    survives_stream(events)


@given(order=st.permutations(range(len(EVENTS))))
@settings(deadline=None, max_examples=200)
def test_events_in_any_order_are_no_more_than_a_fault(order: list[int]) -> None:
    survives_stream(dumped([EVENTS[i] for i in order]))


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b" ",
        b"\xff\xfe",
        b"<!doctype html><title>502</title>",
        b"[DONE]",
        b"null",
        b"0",
        b"{}",
        b'{"content":null}',
        b"[" * 100_000,
        b'{"content":[' + b'{"a":' * 100_000,
        b'{"content":[{"type":"tool_use","name":"f","input":{"a":' + b"[" * 100_000,
        b" " * 1_000_000,
    ],
    ids=lambda body: body[:24].decode(errors="replace"),
)
def test_a_body_that_is_no_answer_is_malformed(body: bytes) -> None:
    with pytest.raises(ProviderFault) as caught:
        DIALECT.decode(body)
    assert caught.value.kind is FaultKind.MALFORMED


@pytest.mark.parametrize("depth", range(880, 1010, 10))
def test_input_at_the_edge_of_what_can_be_nested_is_no_more_than_a_fault(depth: int) -> None:
    nested = b'{"a":' * depth + b"1" + b"}" * depth
    for block in (
        b'{"type":"tool_use","name":"f","input":%s}' % nested,
        b'{"type":"thinking","signature":"s","more":%s}' % nested,
    ):
        survives_whole(b'{"content":[%s]}' % block)
        event = b'{"type":"content_block_start","index":0,"content_block":%s}' % block
        survives_stream([event, b'{"type":"message_stop"}'])


@pytest.mark.parametrize("name", shared_names("nasty", "jsontestsuite", pattern="*"))
def test_no_nasty_file_is_taken_for_an_answer(name: str) -> None:
    body = require_shared("nasty", "jsontestsuite", name).read_bytes()
    with pytest.raises(ProviderFault):
        DIALECT.decode(body)
    decoder, chunk = DIALECT.decode_stream(), pb.ChatCompletionChunk()
    for event in (Event("", body), Event("error", body)):
        with suppress(ProviderFault):
            decoder.decode(event, chunk)
    assert not chunk.choices
    assert not is_complete(decoder)
    assert isinstance(DIALECT.decode_error(500, body), str)


@pytest.mark.parametrize("name", shared_names("nasty", "jsontestsuite", pattern="*"))
def test_a_nasty_file_is_passed_on_as_what_the_model_wrote(name: str) -> None:
    try:
        arguments = require_shared("nasty", "jsontestsuite", name).read_bytes().decode()
    except UnicodeDecodeError:
        return
    call = pb.ToolCall(id="c1", name="look", arguments=arguments)
    request = pb.ChatCompletionRequest(
        messages=[pb.Message(role=pb.ROLE_ASSISTANT, tool_calls=[call])]
    )
    sent = json.loads(DIALECT.encode(request, "m", stream=False).body)
    assert isinstance(sent["messages"][0]["content"][0]["input"], dict)
