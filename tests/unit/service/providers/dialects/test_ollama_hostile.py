"""Whatever an Ollama sends, it is an answer or a ProviderFault."""

from __future__ import annotations

import json
from contextlib import suppress
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from llmbase.v1 import chat_completion_pb2 as pb

from service.errors import FaultKind, ProviderFault
from service.providers.dialects.dialect import Event
from service.providers.dialects.ollama import OllamaDialect
from tests.support.shared import require_shared, shared_names
from tests.unit.service.providers.dialects import hostile
from tests.unit.service.providers.dialects.reading import fold, is_complete, whole

DIALECT = OllamaDialect()
TOKEN = {"token": "a", "logprob": -0.5, "bytes": [97], "top_logprobs": [{"token": "b"}]}
FULL = {
    "model": "m",
    "created_at": "2026-11-22T10:00:00Z",
    "message": {
        "role": "assistant",
        "content": "a",
        "thinking": "hm",
        "tool_calls": [
            {"id": "c", "function": {"index": 0, "name": "f", "arguments": {"a": 1}}},
            {"function": {"index": 0, "name": "g", "arguments": {}}},
        ],
    },
    "logprobs": [TOKEN],
    "done": True,
    "done_reason": "stop",
    "total_duration": 10,
    "prompt_eval_count": 5,
    "prompt_eval_cached_count": 3,
    "eval_count": 2,
}
BODY = json.dumps(FULL).encode()


def survives(body: bytes) -> None:
    """Decode as a whole answer and as a line; whatever comes out must keep the contract."""
    with suppress(ProviderFault):
        answer = DIALECT.decode(body)
        assert [said.finish != "" for said in whole(answer).values()] == [True]
    decoder, chunk = DIALECT.decode_stream(), pb.ChatCompletionChunk()
    try:
        decoder.decode(Event("", body), chunk)
        last = decoder.finish()
    except ProviderFault:
        return
    fold(chunk, last)
    assert is_complete(decoder)


def test_the_full_answer_itself_is_one() -> None:
    survives(BODY)
    assert len(DIALECT.decode(BODY).choices[0].message.tool_calls) == 2


@pytest.mark.parametrize("place", list(hostile.places(FULL)), ids=hostile.name)
def test_a_wrong_value_in_any_place_is_no_more_than_a_fault(place: hostile.Place) -> None:
    for wrong in hostile.WRONG:
        survives(json.dumps(hostile.replaced(FULL, place, wrong)).encode())


@given(changes=st.lists(st.tuples(st.integers(0, 10**6), hostile.ANYTHING), min_size=1, max_size=4))
@settings(deadline=None, max_examples=150)
def test_several_wrong_values_are_no_more_than_a_fault(changes: list[tuple[int, Any]]) -> None:
    value: Any = FULL
    for number, by in changes:
        places = list(hostile.places(value))
        value = hostile.replaced(value, places[number % len(places)], by)
    survives(json.dumps(value).encode())


@given(data=st.data())
@settings(deadline=None, max_examples=150)
def test_damaged_bytes_are_no_more_than_a_fault(data: st.DataObject) -> None:
    survives(hostile.damaged(data, BODY))


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


@pytest.mark.parametrize("depth", range(880, 1010, 10))
def test_arguments_at_the_edge_of_what_can_be_nested_are_no_more_than_a_fault(depth: int) -> None:
    nested = b'{"a":' * depth + b"1" + b"}" * depth
    call = b'{"function":{"name":"f","arguments":%s}}' % nested
    survives(b'{"done":true,"message":{"tool_calls":[%s]}}' % call)


@pytest.mark.parametrize("name", shared_names("nasty", "jsontestsuite", pattern="*"))
def test_no_nasty_file_is_taken_for_an_answer(name: str) -> None:
    body = require_shared("nasty", "jsontestsuite", name).read_bytes()
    with pytest.raises(ProviderFault):
        DIALECT.decode(body)
    decoder, chunk = DIALECT.decode_stream(), pb.ChatCompletionChunk()
    with suppress(ProviderFault):
        decoder.decode(Event("", body), chunk)
    assert not chunk.choices
    assert not is_complete(decoder)
    assert isinstance(DIALECT.decode_error(500, body), str)
