from __future__ import annotations

import json
from typing import Any

import pytest
from llmbase.v1 import chat_completion_pb2 as pb

from service.errors import FaultKind, ProviderFault
from service.providers.dialects.cohere import CohereDialect
from service.providers.dialects.dialect import Event
from tests.unit.service.providers.dialects.reading import (
    Call,
    Said,
    fold,
    is_complete,
    read_stream,
    whole,
)

DIALECT = CohereDialect()
USAGE = {
    "billed_units": {"input_tokens": 2, "output_tokens": 1},
    "tokens": {"input_tokens": 20, "output_tokens": 8, "reasoning_tokens": 3},
    "cached_tokens": 16,
}
CALL = {"id": "c", "type": "function", "function": {"name": "f", "arguments": '{"a":1}'}}


def answer(message: dict[str, Any], **more: Any) -> bytes:
    body = {"id": "x", "message": {"role": "assistant", **message}, "finish_reason": "COMPLETE"}
    return json.dumps(body | more).encode()


def text(said: str) -> dict[str, Any]:
    return {"content": [{"type": "text", "text": said}]}


def read(body: bytes) -> Said:
    (said,) = whole(DIALECT.decode(body)).values()
    return said


def event(kind: str, message: Any = None, **more: Any) -> bytes:
    data = {"type": kind, **({"delta": {"message": message}} if message else {}), **more}
    return f"event: {kind}\ndata: {json.dumps(data)}\n\n".encode()


START = event("message-start", {"role": "assistant", "content": [], "tool_calls": []}, id="x")


def said_piece(piece: str, **more: Any) -> bytes:
    return event("content-delta", {"content": {"text": piece}}, index=0, **more)


def plan(piece: str) -> bytes:
    return event("tool-plan-delta", {"tool_plan": piece})


def call_start(index: int | None, call: dict[str, Any]) -> bytes:
    return event("tool-call-start", {"tool_calls": call}, index=index)


def call_piece(index: int | None, piece: str) -> bytes:
    call = {"function": {"arguments": piece}}
    return event("tool-call-delta", {"tool_calls": call}, index=index)


def call_end(index: int | None) -> bytes:
    return event("tool-call-end", index=index)


def end(reason: str = "COMPLETE", **more: Any) -> bytes:
    return event("message-end", delta={"finish_reason": reason, **more})


def stream(*events: bytes) -> tuple[Said, pb.ChatCompletionChunk]:
    chunk, last = read_stream(DIALECT, [b"".join(events)])
    (said,) = fold(chunk, last).values()
    return said, last


def fault_of(*events: bytes) -> ProviderFault:
    with pytest.raises(ProviderFault) as caught:
        read_stream(DIALECT, events)
    return caught.value


def test_thinking_is_reasoning_and_blocks_are_one_text() -> None:
    content = [
        {"type": "thinking", "thinking": "2"},
        {"type": "text", "text": "It "},
        {"type": "thinking", "thinking": "+2"},
        {"type": "text", "text": "is 4"},
    ]
    said = read(answer({"content": content}))
    assert (said.text, said.reasoning) == ("It is 4", "2+2")


def test_a_stream_thinks_in_one_block_and_speaks_in_another() -> None:
    said, _ = stream(
        START,
        event("content-start", {"content": {"type": "thinking", "thinking": ""}}, index=0),
        event("content-delta", {"content": {"thinking": "2+2"}}, index=0),
        event("content-end", index=0),
        event("content-start", {"content": {"type": "text", "text": "It"}}, index=1),
        event("content-delta", {"content": {"text": " is 4"}}, index=1),
        event("content-end", index=1),
        end(),
    )
    assert (said.text, said.reasoning) == ("It is 4", "2+2")
    assert (said.finish, said.native) == ("stop", "COMPLETE")


def test_the_plan_is_not_the_answer_but_goes_back_with_the_calls() -> None:
    whole_answer = answer({"tool_plan": "First I look.", "tool_calls": [CALL]})
    streamed, _ = stream(
        START,
        plan("First"),
        plan(" I look."),
        call_start(0, CALL),
        call_end(0),
        call_start(1, {**CALL, "id": "d"}),
        call_end(1),
        end("TOOL_CALL"),
    )
    for said in (read(whole_answer), streamed):
        assert (said.text, said.reasoning) == ("", "")
        assert said.state == b'{"cohere":{"tool_plan":"First I look."}}\n'
        turn = pb.Message(role=pb.ROLE_ASSISTANT, provider_state=said.state)
        for call in said.calls:
            turn.tool_calls.add(id=call.id, name=call.name, arguments=call.arguments)
        request = pb.ChatCompletionRequest(messages=[turn])
        (sent,) = json.loads(DIALECT.encode(request, "m", stream=False).body)["messages"]
        assert sent["tool_plan"] == "First I look."


def test_a_plan_is_no_content_yet() -> None:
    chunk = pb.ChatCompletionChunk()
    decoder = DIALECT.decode_stream()
    for each in DIALECT.framer().feed(START + plan("First I look.")):
        decoder.decode(each, chunk)
    assert not chunk.choices


def test_a_plan_without_calls_is_dropped() -> None:
    assert not read(answer({"tool_plan": "Nothing to do.", **text("4")})).state
    assert not stream(START, plan("Nothing to do."), said_piece("4"), end())[0].state


def test_calls_come_in_pieces_under_their_own_numbers() -> None:
    said, _ = stream(
        START,
        call_start(0, {"id": "c", "function": {"name": "f", "arguments": ""}}),
        call_piece(0, '{"id":123456789'),
        call_piece(0, "01234567890}"),
        call_end(0),
        call_start(1, {"id": "d", "function": {"name": "g"}}),
        call_end(1),
        end("TOOL_CALL"),
    )
    assert said.calls == [
        Call("c", "f", '{"id":12345678901234567890}'),
        Call("d", "g", "{}"),
    ]
    assert said.finish == "tool_calls"


def test_pieces_of_calls_may_be_mixed() -> None:
    said, _ = stream(
        call_start(0, {"id": "c", "function": {"name": "f"}}),
        call_start(1, {"id": "d", "function": {"name": "g"}}),
        call_piece(1, "[2"),
        call_piece(0, "[1"),
        call_piece(1, "]"),
        call_piece(0, "]"),
        call_end(1),
        call_end(0),
        end("TOOL_CALL"),
    )
    assert [call.arguments for call in said.calls] == ["[1]", "[2]"]


def test_calls_without_numbers_come_one_after_the_other() -> None:
    said, _ = stream(
        call_start(None, CALL),
        call_end(None),
        call_start(None, {**CALL, "id": "d"}),
        call_end(None),
        end("TOOL_CALL"),
    )
    assert [call.arguments for call in said.calls] == ['{"a":1}', '{"a":1}']


def test_a_call_that_nobody_ends_has_arguments_all_the_same() -> None:
    said, _ = stream(call_start(0, {"id": "c", "function": {"name": "f"}}), end("TOOL_CALL"))
    assert said.calls == [Call("c", "f", "{}")]


def test_ids_are_kept_and_made_up_where_missing_or_taken() -> None:
    calls: list[dict[str, Any]] = [CALL, CALL, {"function": {"name": "f"}}]
    events = [call_start(index, call) for index, call in enumerate(calls)]
    for said in (read(answer({"tool_calls": calls})), stream(*events, end("TOOL_CALL"))[0]):
        ids = [call.id for call in said.calls]
        assert ids[0] == "c" and len(set(ids)) == 3 and all(ids)


@pytest.mark.parametrize(
    ("native", "finish"),
    [
        ("COMPLETE", "stop"),
        ("STOP_SEQUENCE", "stop"),
        ("MAX_TOKENS", "length"),
        ("TOOL_CALL", "tool_calls"),
        ("ERROR_LIMIT", "length"),
        ("ERROR_TOXIC", "content_filter"),
        ("DAYDREAMING", "stop"),
        ("", "stop"),
    ],
)
def test_every_reason_is_mapped_and_carried(native: str, finish: str) -> None:
    said = read(answer(text("a"), finish_reason=native))
    assert (said.finish, said.native) == (finish, native)
    said, _ = stream(said_piece("a"), end(native))
    assert (said.finish, said.native) == (finish, native)


@pytest.mark.parametrize(
    ("native", "finish"), [("COMPLETE", "tool_calls"), ("MAX_TOKENS", "length")]
)
def test_a_call_overrides_a_stop_and_only_that(native: str, finish: str) -> None:
    assert read(answer({"tool_calls": [CALL]}, finish_reason=native)).finish == finish
    assert stream(call_start(0, CALL), end(native))[0].finish == finish


@pytest.mark.parametrize(
    ("native", "kind", "status"),
    [
        ("ERROR", FaultKind.REPORTED, None),
        ("TIMEOUT", FaultKind.STATUS, 504),
        ("USER_CANCEL", FaultKind.REPORTED, None),
    ],
)
def test_an_answer_that_was_broken_off_is_none(
    native: str, kind: FaultKind, status: int | None
) -> None:
    with pytest.raises(ProviderFault) as caught:
        DIALECT.decode(answer(text("a"), finish_reason=native))
    assert (caught.value.kind, caught.value.status) == (kind, status)
    fault = fault_of(START, said_piece("a"), end(native, error="out of memory"))
    assert (fault.kind, fault.status, fault.told) == (kind, status, "out of memory")


def test_an_error_at_the_end_is_one_beside_any_word() -> None:
    assert fault_of(said_piece("a"), end("COMPLETE", error="it broke")).told == "it broke"


def test_usage_is_what_was_read_and_written_and_beside_it_what_is_billed() -> None:
    _, last = stream(said_piece("a"), end(usage=USAGE))
    for usage in (DIALECT.decode(answer(text("a"), usage=USAGE)).usage, last.usage):
        assert usage == pb.Usage(
            prompt_tokens=20,
            completion_tokens=8,
            total_tokens=28,
            cached_tokens=16,
            reasoning_tokens=3,
            billed_prompt_tokens=2,
            billed_completion_tokens=1,
        )


def test_what_is_billed_is_told_only_where_it_is_said_and_also_where_it_is_nothing() -> None:
    tokens = {"input_tokens": 20, "output_tokens": 8}
    usage = DIALECT.decode(answer(text("a"), usage={"tokens": tokens})).usage
    assert not usage.HasField("billed_prompt_tokens")
    free = {"tokens": tokens, "billed_units": {"input_tokens": 0, "search_units": 1}}
    usage = DIALECT.decode(answer(text("a"), usage=free)).usage
    assert usage.HasField("billed_prompt_tokens") and usage.billed_prompt_tokens == 0
    assert not usage.HasField("billed_completion_tokens")


@pytest.mark.parametrize(
    "usage",
    [
        None,
        {},
        {"billed_units": {"input_tokens": 2, "output_tokens": 1}},
        {"tokens": {"input_tokens": 20}},
        {"tokens": {"output_tokens": 8}},
    ],
)
def test_half_a_usage_is_none(usage: dict[str, Any] | None) -> None:
    assert not DIALECT.decode(answer(text("a"), usage=usage)).HasField("usage")
    assert not stream(said_piece("a"), end(usage=usage))[1].HasField("usage")


def test_counts_may_be_written_as_fractions_and_parts_are_never_more_than_the_whole() -> None:
    tokens = {"input_tokens": 20.0, "output_tokens": 8.0, "reasoning_tokens": 9.0}
    usage = DIALECT.decode(answer(text("a"), usage={"tokens": tokens, "cached_tokens": 21})).usage
    assert (usage.prompt_tokens, usage.cached_tokens) == (20, 20)
    assert (usage.completion_tokens, usage.reasoning_tokens) == (8, 8)


def test_log_probabilities_are_of_pieces_of_text() -> None:
    pieces = [
        {"text": "a", "token_ids": [1], "logprobs": [-0.5]},
        {"text": "€", "token_ids": [2, 3], "logprobs": [-0.25, -0.5]},
        {"text": "", "token_ids": [4], "logprobs": [-1]},
        {"token_ids": [5]},
    ]
    completion = DIALECT.decode(answer(text("a€"), logprobs=pieces))
    events = [said_piece("a", logprobs=pieces[0]), said_piece("€", logprobs=pieces[1])]
    chunk, _ = read_stream(DIALECT, [*events, end()])
    streamed = [token for delta in chunk.choices for token in delta.logprobs.content]
    for tokens in (completion.choices[0].logprobs.content, streamed):
        assert [(token.token, token.logprob) for token in tokens] == [("a", -0.5), ("€", -0.75)]


def test_log_probabilities_beside_reasoning_are_left_out() -> None:
    content = [{"type": "thinking", "thinking": "hm"}, {"type": "text", "text": "a"}]
    pieces = [{"text": "hm", "token_ids": [1], "logprobs": [-0.5]}]
    completion = DIALECT.decode(answer({"content": content}, logprobs=pieces))
    assert not completion.choices[0].HasField("logprobs")


def test_citations_and_debug_and_what_nobody_knows_are_survived() -> None:
    citation = {"citations": {"start": 0, "end": 1, "text": "a", "sources": []}}
    said, _ = stream(
        START,
        event("debug", prompt="…"),
        said_piece("a"),
        event("citation-start", citation, index=0),
        event("citation-end", index=0),
        event("mood-delta", delta="cheerful", index="one"),
        event("mood-delta", {"content": {"text": "no"}}),
        b"data: {}\n\n",
        b"data: \n\n",
        said_piece("b"),
        end(),
    )
    assert said.text == "ab"


def test_the_name_of_an_event_serves_where_its_type_is_missing() -> None:
    nameless = b'event: content-delta\ndata: {"delta":{"message":{"content":{"text":"a"}}}}\n\n'
    assert stream(nameless, end())[0].text == "a"


@pytest.mark.parametrize(
    "data",
    [
        b'event: error\ndata: {"message":"it broke"}\n\n',
        b'data: {"type":"error","message":"it broke"}\n\n',
        b'data: {"id":"1","message":"it broke"}\n\n',
        b"event: error\ndata: it broke\n\n",
    ],
)
def test_an_error_in_a_stream_is_reported_in_its_words(data: bytes) -> None:
    fault = fault_of(START, said_piece("a"), data)
    assert (fault.kind, fault.told) == (FaultKind.REPORTED, "it broke")


def test_an_error_where_an_answer_should_be_is_reported_in_its_words() -> None:
    with pytest.raises(ProviderFault) as caught:
        DIALECT.decode(b'{"id":"1","message":"it broke"}')
    assert (caught.value.kind, caught.value.told) == (FaultKind.REPORTED, "it broke")
    assert DIALECT.decode_error(401, b'{"id":"1","message":"no such key"}') == "no such key"


@pytest.mark.parametrize(
    "event",
    [
        b'data: {"type":"content-delta","delta":{"message":{"content":{"text":5}}}}\n\n',
        b'data: {"type":"message-end","delta":{"finish_reason":5}}\n\n',
        b'data: {"type":"tool-call-delta","index":0,"delta":{"message":{"tool_calls":{}}}}\n\n',
        b'data: {"type":"tool-call-end","index":0}\n\n',
        b'data: {"type":"tool-call-start","delta":{"message":{"tool_calls":{"id":"c"}}}}\n\n',
        b"data: nonsense\n\n",
        b"data: []\n\n",
        b'event: content-delta\ndata: {"delta":5}\n\n',
    ],
)
def test_an_event_that_is_garbage_is_malformed(event: bytes) -> None:
    assert fault_of(START, event).kind is FaultKind.MALFORMED


def test_a_piece_of_a_call_that_has_ended_is_malformed() -> None:
    fault = fault_of(call_start(0, CALL), call_end(0), call_piece(0, "x"))
    assert fault.kind is FaultKind.MALFORMED


def test_a_stream_is_complete_at_its_last_event_and_not_before() -> None:
    events = [START, plan("I look."), said_piece("a"), call_start(0, CALL), call_end(0), end()]
    for count in range(len(events) + 1):
        decoder = DIALECT.decode_stream()
        for each in DIALECT.framer().feed(b"".join(events[:count])):
            decoder.decode(each, pb.ChatCompletionChunk())
        assert decoder.done == decoder.finished == is_complete(decoder) == (count == len(events))


def test_a_done_after_content_ends_a_stream_without_a_last_event() -> None:
    said, last = stream(START, said_piece("a"), b"data: [DONE]\n\n")
    assert (said.text, said.finish, said.native) == ("a", "stop", "")
    assert not last.HasField("usage")
    calling, _ = stream(call_start(0, {"function": {"name": "f"}}), b"data: [DONE]\n\n")
    assert (calling.finish, calling.calls[0].arguments) == ("tool_calls", "{}")


def test_a_done_without_content_is_no_answer() -> None:
    assert fault_of(START, plan("I look."), b"data: [DONE]\n\n").kind is FaultKind.TRUNCATED


def test_nothing_is_read_after_the_end() -> None:
    decoder = DIALECT.decode_stream()
    chunk = pb.ChatCompletionChunk()
    for each in DIALECT.framer().feed(said_piece("a") + end("MAX_TOKENS", usage=USAGE)):
        decoder.decode(each, chunk)
    for data in (b"[DONE]", b"nonsense", b'{"type":"message-end"}'):
        decoder.decode(Event("", data), chunk)
    said = fold(chunk, decoder.finish())[0]
    assert (said.text, said.finish) == ("a", "length")


def test_content_may_be_a_text_of_its_own() -> None:
    assert read(answer({"content": "4"})).text == "4"


def test_an_empty_answer_is_an_empty_text_and_not_none() -> None:
    assert len(DIALECT.decode(answer({"content": []})).choices[0].message.content) == 1
    calling = DIALECT.decode(answer({"tool_calls": [CALL]})).choices[0].message
    assert not calling.content
