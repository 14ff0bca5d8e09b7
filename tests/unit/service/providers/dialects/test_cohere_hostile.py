"""Whatever Cohere sends, it is an answer or a ProviderFault."""

from __future__ import annotations

import json
from contextlib import suppress
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from llmbase.v1 import chat_completion_pb2 as pb

from service.errors import FaultKind, ProviderFault
from service.providers.dialects.cohere import CohereDialect
from service.providers.dialects.dialect import Event
from tests.support.shared import require_shared, shared_names
from tests.unit.service.providers.dialects import hostile
from tests.unit.service.providers.dialects.reading import fold, is_complete, whole

DIALECT = CohereDialect()
USAGE = {
    "billed_units": {"input_tokens": 1, "output_tokens": 1},
    "tokens": {"input_tokens": 9, "output_tokens": 4, "reasoning_tokens": 2},
    "cached_tokens": 3,
}
CALL = {"id": "c", "type": "function", "function": {"name": "f", "arguments": '{"a":1}'}}
ANSWER = {
    "id": "x",
    "message": {
        "role": "assistant",
        "content": [{"type": "thinking", "thinking": "hm"}, {"type": "text", "text": "a"}],
        "tool_plan": "First this.",
        "tool_calls": [CALL],
        "citations": [{"start": 0, "end": 1, "text": "a", "sources": []}],
    },
    "finish_reason": "TOOL_CALL",
    "usage": USAGE,
    "logprobs": [{"text": "a", "token_ids": [1], "logprobs": [-0.5]}],
}


def event(kind: str, message: Any = None, **more: Any) -> dict[str, Any]:
    return {"type": kind, "delta": {"message": message}, **more}


EVENTS = [
    event("message-start", {"role": "assistant", "content": [], "tool_calls": []}, id="x"),
    event("content-start", {"content": {"type": "thinking", "thinking": ""}}, index=0),
    event("content-delta", {"content": {"thinking": "hm"}}, index=0),
    event(
        "content-delta",
        {"content": {"text": "a"}},
        index=1,
        logprobs={"text": "a", "token_ids": [1], "logprobs": [-0.5]},
    ),
    event("citation-start", {"citations": {"start": 0, "end": 1, "text": "a"}}, index=0),
    event("tool-plan-delta", {"tool_plan": "First this."}),
    event("tool-call-start", {"tool_calls": CALL}, index=0),
    event("tool-call-delta", {"tool_calls": {"function": {"arguments": "}"}}}, index=0),
    {"type": "tool-call-end", "index": 0},
    {"type": "message-end", "delta": {"finish_reason": "TOOL_CALL", "usage": USAGE}},
]
BODY = json.dumps(ANSWER).encode()
LINES = [json.dumps(each).encode() for each in EVENTS]


def survives(body: bytes) -> None:
    """Decode as a whole answer; whatever comes out must keep the contract."""
    with suppress(ProviderFault):
        answer = DIALECT.decode(body)
        assert [said.finish != "" for said in whole(answer).values()] == [True]


def survives_stream(lines: list[bytes]) -> None:
    decoder, chunk = DIALECT.decode_stream(), pb.ChatCompletionChunk()
    try:
        for line in lines:
            decoder.decode(Event("", line), chunk)
        last = decoder.finish()
    except ProviderFault:
        return
    fold(chunk, last)
    assert is_complete(decoder)


def test_the_full_answer_itself_is_one_and_so_is_the_stream() -> None:
    assert DIALECT.decode(BODY).choices[0].message.tool_calls[0].name == "f"
    decoder, chunk = DIALECT.decode_stream(), pb.ChatCompletionChunk()
    for line in LINES:
        decoder.decode(Event("", line), chunk)
    assert fold(chunk, decoder.finish())[0].finish == "tool_calls"


@pytest.mark.parametrize("place", list(hostile.places(ANSWER)), ids=hostile.name)
def test_a_wrong_value_in_any_place_is_no_more_than_a_fault(place: hostile.Place) -> None:
    for wrong in hostile.WRONG:
        survives(json.dumps(hostile.replaced(ANSWER, place, wrong)).encode())


@pytest.mark.parametrize("place", list(hostile.places(EVENTS))[1:], ids=hostile.name)
def test_a_wrong_value_in_any_event_is_no_more_than_a_fault(place: hostile.Place) -> None:
    for wrong in hostile.WRONG:
        changed = hostile.replaced(EVENTS, place, wrong)
        survives_stream([json.dumps(each).encode() for each in changed])


@given(changes=st.lists(st.tuples(st.integers(0, 10**6), hostile.ANYTHING), min_size=1, max_size=4))
@settings(deadline=None, max_examples=150)
def test_several_wrong_values_are_no_more_than_a_fault(changes: list[tuple[int, Any]]) -> None:
    answer: Any = ANSWER
    events: Any = EVENTS
    for number, by in changes:
        places = list(hostile.places(answer))
        answer = hostile.replaced(answer, places[number % len(places)], by)
        places = list(hostile.places(events))[1:] or [(0,)]
        events = hostile.replaced(events, places[number % len(places)], by)
    survives(json.dumps(answer).encode())
    survives_stream([json.dumps(each).encode() for each in events])


@given(data=st.data())
@settings(deadline=None, max_examples=150)
def test_damaged_bytes_are_no_more_than_a_fault(data: st.DataObject) -> None:
    survives(hostile.damaged(data, BODY))
    at = data.draw(st.integers(0, len(LINES) - 1))
    survives_stream([*LINES[:at], hostile.damaged(data, LINES[at]), *LINES[at + 1 :]])


@given(order=st.permutations(range(len(LINES))), length=st.integers(0, len(LINES)))
@settings(deadline=None, max_examples=150)
def test_events_in_any_order_are_no_more_than_a_fault(order: list[int], length: int) -> None:
    survives_stream([LINES[at] for at in order[:length]])


@pytest.mark.parametrize("body", hostile.NO_ANSWERS, ids=lambda body: repr(body[:24]))
def test_a_body_that_is_no_answer_is_malformed(body: bytes) -> None:
    with pytest.raises(ProviderFault) as caught:
        DIALECT.decode(body)
    assert caught.value.kind is FaultKind.MALFORMED


def test_a_body_cut_anywhere_is_malformed() -> None:
    for cut in range(len(BODY)):
        with pytest.raises(ProviderFault) as caught:
            DIALECT.decode(BODY[:cut])
        assert caught.value.kind is FaultKind.MALFORMED


@pytest.mark.parametrize("name", shared_names("nasty", "jsontestsuite", pattern="*"))
def test_no_nasty_file_is_taken_for_an_answer(name: str) -> None:
    body = require_shared("nasty", "jsontestsuite", name).read_bytes()
    with pytest.raises(ProviderFault):
        DIALECT.decode(body)
    decoder, chunk = DIALECT.decode_stream(), pb.ChatCompletionChunk()
    for each in (Event("", body), Event("content-delta", body), Event("error", body)):
        with suppress(ProviderFault):
            decoder.decode(each, chunk)
    assert not chunk.choices
    assert not is_complete(decoder)
    assert isinstance(DIALECT.decode_error(500, body), str)
