from __future__ import annotations

import json
from typing import Any

import pytest
from llmbase.v1 import chat_completion_pb2 as pb

from service.errors import FaultKind, ProviderFault
from service.providers.dialects.openai import OpenAiDialect
from tests.unit.service.providers.dialects.reading import Said, fold, read_stream, whole

DIALECT = OpenAiDialect()
SIGNATURE = {"google": {"thought_signature": "c2ln", "n": 12345678901234567890123}}


def answered(message: str) -> Said:
    return whole(DIALECT.decode(f'{{"choices":[{{"message":{message}}}]}}'.encode()))[0]


def streamed(*deltas: dict[str, Any], finish: str = "stop") -> Said:
    choices = [{"index": 0, "delta": delta} for delta in deltas]
    choices.append({"index": 0, "delta": {}, "finish_reason": finish})
    events = (json.dumps({"choices": [choice]}).encode() for choice in choices)
    stream = b"".join(b"data: %s\n\n" % event for event in events)
    return fold(*read_stream(DIALECT, [stream]))[0]


def sent_back(state: bytes, of_call: bytes = b"") -> tuple[dict[str, Any], dict[str, Any], bytes]:
    """The message and the call that carry the states, and the bytes of the whole body."""
    call = pb.ToolCall(id="c", name="f", arguments="{}", provider_state=of_call)
    message = pb.Message(role=pb.ROLE_ASSISTANT, tool_calls=[call], provider_state=state)
    body = DIALECT.encode(pb.ChatCompletionRequest(messages=[message]), "m", stream=False).body
    (found,) = json.loads(body)["messages"]
    return found, found["tool_calls"][0], body


def test_the_state_of_a_whole_message_goes_back_as_it_came() -> None:
    details = '[{"type":"reasoning.encrypted","data":"x=","n":1.10,"big":12345678901234567890123}]'
    extra = '{"google":{"thought_signature":"c2ln"}}'
    fields = f'"reasoning_details":{details},"reasoning_opaque":"o","extra_content":{extra}'
    said = answered(f'{{"content":"a",{fields}}}')
    message, _, body = sent_back(said.state)
    assert details.encode() in body
    assert extra.encode() in body
    assert message["reasoning_opaque"] == "o"


def test_the_state_of_a_call_goes_back_on_the_call() -> None:
    call = {"id": "c", "function": {"name": "f"}, "extra_content": SIGNATURE}
    for said in (
        answered(json.dumps({"tool_calls": [call]})),
        streamed({"tool_calls": [{"index": 0, **call}]}),
    ):
        message, sent, _ = sent_back(said.state, said.calls[0].state)
        assert sent["extra_content"] == SIGNATURE
        assert "extra_content" not in message


def test_the_state_of_a_call_whose_name_is_late_is_not_lost() -> None:
    early = {"index": 0, "id": "c", "extra_content": SIGNATURE}
    said = streamed(
        {"tool_calls": [early]}, {"tool_calls": [{"index": 0, "function": {"name": "f"}}]}
    )
    assert sent_back(b"", said.calls[0].state)[1]["extra_content"] == SIGNATURE


def test_details_in_pieces_are_joined_into_what_a_whole_answer_holds() -> None:
    def detail(**fields: Any) -> dict[str, Any]:
        return {"reasoning_details": [{"type": "reasoning.text", "index": 0, **fields}]}

    encrypted = {"type": "reasoning.encrypted", "index": 0, "data": "x"}
    said = streamed(
        detail(text="Let ", format="f", signature=None),
        detail(text="me", format=None),
        detail(text=None, signature="sig"),
        {"reasoning_details": [encrypted]},
        {"reasoning_details": [encrypted]},
        {"reasoning_details": [{"type": "reasoning.summary", "index": 0, "summary": "S"}]},
        {"reasoning_details": [{"type": "reasoning.summary", "index": 1, "summary": "T"}]},
        detail(text="again"),
    )
    assert sent_back(said.state)[0]["reasoning_details"] == [
        {"type": "reasoning.text", "index": 0, "text": "Let me", "format": "f", "signature": "sig"},
        encrypted,
        encrypted,
        {"type": "reasoning.summary", "index": 0, "summary": "S"},
        {"type": "reasoning.summary", "index": 1, "summary": "T"},
        {"type": "reasoning.text", "index": 0, "text": "again"},
    ]


def test_details_of_one_delta_and_of_several_end_the_same() -> None:
    details = [{"type": "reasoning.text", "text": "a"}, {"type": "reasoning.text", "text": "b"}]
    together = streamed({"reasoning_details": details})
    apart = streamed(*({"reasoning_details": [detail]} for detail in details))
    assert together.state == apart.state


def test_state_is_told_once_with_the_finish_word_or_at_done() -> None:
    delta = {"reasoning_details": [{"type": "x"}], "content": "a"}
    choice = {"index": 0, "delta": delta}
    for end in (b'{"choices":[{"delta":{},"finish_reason":"stop"}]}', b"[DONE]"):
        stream = b"data: %s\n\ndata: %s\n\n" % (json.dumps({"choices": [choice]}).encode(), end)
        chunk, _ = read_stream(DIALECT, [stream])
        assert [bool(d.provider_state) for d in chunk.choices] == [False, True]


def test_state_after_the_finish_word_is_not_lost() -> None:
    first = {"index": 0, "delta": {"reasoning_details": [{"n": 1}]}, "finish_reason": "stop"}
    second = {"index": 0, "delta": {"reasoning_details": [{"n": 2}], "extra_content": SIGNATURE}}
    events = (json.dumps({"choices": [choice]}).encode() for choice in (first, second))
    said = fold(*read_stream(DIALECT, [b"data: %s\n\n" % event for event in events]))[0]
    message, _, _ = sent_back(said.state)
    assert message["reasoning_details"] == [{"n": 1}, {"n": 2}]
    assert message["extra_content"] == SIGNATURE


def test_an_answer_without_state_has_none() -> None:
    fields = {"content": "a", "reasoning_details": [], "extra_content": {}, "reasoning_opaque": ""}
    assert answered(json.dumps(fields)).state == b""
    assert streamed(fields).state == b""


def test_state_that_is_not_utf8_is_malformed() -> None:
    call = b'{"function":{"name":"f"},"extra_content":{"a":"\xff"}}'
    details = b'"reasoning_details":[{"type":"x","data":"\xff"}]'
    for message in (b'{"tool_calls":[%s]}' % call, b"{%s}" % details):
        choice = b'{"message":%s,"delta":%s}' % (message, message)
        with pytest.raises(ProviderFault) as caught:
            DIALECT.decode(b'{"choices":[%s]}' % choice)
        assert caught.value.kind is FaultKind.MALFORMED
        with pytest.raises(ProviderFault) as caught:
            read_stream(DIALECT, [b'data: {"choices":[%s]}\n\ndata: [DONE]\n\n' % choice])
        assert caught.value.kind is FaultKind.MALFORMED


@pytest.mark.parametrize(
    "foreign",
    [
        b"\x00\x01\xff",
        b"{}",
        b"[]",
        b"null\n",
        b'"reasoning_details"',
        b'{"signature":"of another dialect"}',
        b'{"extra_content":{"a":"\xff"}}',
        b'{"reasoning_details":5}',
        b'{"extra_content":{"a":1}',
        b'{"content":"smuggled","role":"system"}',
        b"[" * 100_000,
        b'{"extra_content":{"a":' + b"[" * 100_000,
    ],
)
def test_state_that_is_not_ours_is_left_out(foreign: bytes) -> None:
    message, call, _ = sent_back(foreign, foreign)
    assert set(message) == {"role", "content", "tool_calls"}
    assert set(call) == {"id", "type", "function"}
    assert message["content"] is None
