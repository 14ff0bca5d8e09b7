from __future__ import annotations

import base64
import json
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from llmbase.v1 import chat_completion_pb2 as pb

from service.errors import FaultKind, ProviderFault
from service.providers.dialects.answer_tool import ANSWER_TOOL
from service.providers.dialects.bedrock import BedrockDialect
from service.providers.dialects.dialect import Event
from tests.support import event_frames as frames
from tests.support.shared import require_shared
from tests.unit.service.providers.dialects.reading import Said, fold, is_complete, read_stream

DIALECT = BedrockDialect()
USAGE = {"inputTokens": 10, "outputTokens": 8, "totalTokens": 18}

START = frames.event("messageStart", {"role": "assistant"})
METADATA = frames.event("metadata", {"usage": USAGE, "metrics": {"latencyMs": 1}})


def begin(index: int, **tool_use: Any) -> bytes:
    start = {"toolUse": {"toolUseId": f"t{index}", "name": "f", **tool_use}}
    return frames.event("contentBlockStart", {"contentBlockIndex": index, "start": start})


def delta(index: int, **piece: Any) -> bytes:
    return frames.event("contentBlockDelta", {"contentBlockIndex": index, "delta": piece})


def text(index: int, piece: str) -> bytes:
    return delta(index, text=piece)


def given_input(index: int, piece: str) -> bytes:
    return delta(index, toolUse={"input": piece})


def thought(index: int, **piece: str) -> bytes:
    return delta(index, reasoningContent=piece)


def end(index: int) -> bytes:
    return frames.event("contentBlockStop", {"contentBlockIndex": index})


def stop(reason: str | None = "end_turn") -> bytes:
    return frames.event("messageStop", {"stopReason": reason})


def said(*pieces: bytes) -> Said:
    chunk, last = read_stream(DIALECT, [START, *pieces])
    return fold(chunk, last)[0]


def fault_of(*pieces: bytes) -> ProviderFault:
    with pytest.raises(ProviderFault) as raised:
        read_stream(DIALECT, [START, *pieces])
    return raised.value


def test_text_is_told_as_it_comes_and_the_stop_with_its_usage_last() -> None:
    chunk, last = read_stream(
        DIALECT, [START, text(0, "Hel"), text(0, ""), text(0, "lo"), end(0), stop(), METADATA]
    )
    assert [choice.content for choice in chunk.choices] == ["Hel", "lo"]
    assert last == pb.ChatCompletionChunk(
        choices=[
            pb.ChoiceDelta(finish_reason=pb.FINISH_REASON_STOP, native_finish_reason="end_turn")
        ],
        usage=pb.Usage(prompt_tokens=10, completion_tokens=8, total_tokens=18),
        last=True,
    )


def test_the_answer_is_finished_at_its_stop_and_done_with_its_usage() -> None:
    framer, decoder = DIALECT.framer(), DIALECT.decode_stream()
    seen = []
    for piece in (START, text(0, "a"), end(0), stop(), METADATA):
        for event in framer.feed(piece):
            decoder.decode(event, pb.ChatCompletionChunk())
        seen.append((decoder.finished, decoder.done, is_complete(decoder)))
    assert seen == [(False, False, False)] * 3 + [(True, False, True), (True, True, True)]


def test_usage_before_the_stop_does_not_end_the_answer() -> None:
    framer, decoder = DIALECT.framer(), DIALECT.decode_stream()
    for event in framer.feed(START + METADATA):
        decoder.decode(event, pb.ChatCompletionChunk())
    assert not decoder.done and not is_complete(decoder)
    for event in framer.feed(stop()):
        decoder.decode(event, pb.ChatCompletionChunk())
    assert decoder.done and decoder.finish().usage.prompt_tokens == 10


def test_an_answer_without_usage_is_complete_all_the_same() -> None:
    _, last = read_stream(DIALECT, [START, text(0, "a"), stop()])
    assert last.last and not last.HasField("usage")


def test_a_stream_without_its_stop_is_cut_off() -> None:
    assert fault_of(text(0, "a"), end(0)).kind is FaultKind.TRUNCATED
    assert fault_of(text(0, "a"), end(0), METADATA).kind is FaultKind.TRUNCATED
    with pytest.raises(ProviderFault) as raised:
        read_stream(DIALECT, [])
    assert raised.value.kind is FaultKind.TRUNCATED


def test_what_follows_the_end_is_not_read() -> None:
    trailing = frames.exception("throttlingException", {"message": "x"})
    assert said(text(0, "a"), stop(), METADATA, trailing, text(0, "b")).text == "a"


def test_text_that_cites_a_source_is_text() -> None:
    citation = delta(1, citation={"title": "x", "sourceContent": [{"text": "y"}]})
    pieces = [text(0, "a"), end(0), citation, text(1, "b"), end(1), stop()]
    assert said(*pieces).text == "ab"


# Calls.


def test_calls_are_numbered_by_themselves_and_not_by_block() -> None:
    answer = said(
        thought(0, text="Hm."),
        end(0),
        text(1, "So"),
        end(1),
        begin(2),
        given_input(2, ""),
        given_input(2, '{"a": '),
        given_input(2, "12345678901234567890123}"),
        end(2),
        begin(3, name="g"),
        given_input(3, "{}"),
        end(3),
        stop("tool_use"),
    )
    assert [(call.id, call.name, call.arguments) for call in answer.calls] == [
        ("t2", "f", '{"a": 12345678901234567890123}'),
        ("t3", "g", "{}"),
    ]
    assert (answer.finish, answer.native) == ("tool_calls", "tool_use")


@pytest.mark.parametrize("ended", [True, False])
def test_a_call_without_input_has_an_empty_object(ended: bool) -> None:
    pieces = [begin(0), given_input(0, ""), *([end(0)] if ended else []), stop("tool_use")]
    assert said(*pieces).calls[0].arguments == "{}"


def test_calls_whose_pieces_are_mixed_are_told_apart() -> None:
    answer = said(
        begin(0),
        begin(1),
        given_input(1, '{"b":1}'),
        given_input(0, '{"a":1}'),
        end(1),
        end(0),
        stop("tool_use"),
    )
    assert [call.arguments for call in answer.calls] == ['{"a":1}', '{"b":1}']


def test_a_block_that_begins_twice_is_two_calls() -> None:
    answer = said(begin(0), begin(0, toolUseId="u"), given_input(0, "{ }"), end(0), stop())
    assert [(call.id, call.arguments) for call in answer.calls] == [("t0", "{}"), ("u", "{ }")]


@pytest.mark.parametrize(
    "pieces",
    [
        [begin(0, name="")],
        [begin(0, name=None)],
        [given_input(0, "{}")],
        [begin(0), end(0), given_input(0, "{}")],
        [frames.event("contentBlockDelta", {"delta": {"toolUse": {"input": "{}"}}})],
        [frames.event("contentBlockStop", {})],
        [frames.event("contentBlockStart", {"start": {"toolUse": {"name": "f"}}})],
    ],
)
def test_calls_that_cannot_be_told_are_garbage(pieces: list[bytes]) -> None:
    assert fault_of(*pieces, stop()).kind is FaultKind.MALFORMED


@pytest.mark.parametrize("late", [text(0, "b"), begin(1), thought(1, text="x")])
def test_content_after_the_stop_is_garbage(late: bytes) -> None:
    assert fault_of(text(0, "a"), stop(), late).kind is FaultKind.MALFORMED


def test_a_call_that_the_provider_made_by_itself_is_not_the_callers() -> None:
    result = frames.event(
        "contentBlockStart", {"contentBlockIndex": 1, "start": {"toolResult": {"toolUseId": "t0"}}}
    )
    answer = said(
        begin(0, type="server_tool_use"),
        given_input(0, '{"a":1}'),
        end(0),
        result,
        delta(1, toolResult=[{"text": "x"}]),
        end(1),
        text(2, "a"),
        end(2),
        stop(),
    )
    assert (answer.text, answer.calls, answer.finish) == ("a", [], "stop")


@pytest.mark.parametrize(("pieces", "wanted"), [(['{"a"', ":1}"], '{"a":1}'), ([], "{}")])
def test_an_answer_by_a_call_is_text_and_a_stop(pieces: list[str], wanted: str) -> None:
    given = [given_input(0, piece) for piece in pieces]
    answer = said(begin(0, name=ANSWER_TOOL), *given, end(0), stop("tool_use"))
    assert (answer.text, answer.calls, answer.finish) == (wanted, [], "stop")


# Reasoning.


def test_reasoning_is_told_and_kept_with_its_signature_at_the_end_of_its_block() -> None:
    chunk, last = read_stream(
        DIALECT,
        [
            thought(0, text="Hm"),
            thought(0, text=". "),
            thought(0, signature="si"),
            thought(0, signature="g=="),
            end(0),
            thought(1, redactedContent="AAE="),
            thought(1, redactedContent="Ag=="),
            end(1),
            thought(2, text="So."),
            end(2),
            text(3, "a"),
            stop(),
        ],
    )
    answer = fold(chunk, last)[0]
    assert (answer.reasoning, answer.text) == ("Hm. So.", "a")
    assert [json.loads(line)["bedrock_reasoning"] for line in answer.state.splitlines()] == [
        [{"reasoningText": {"text": "Hm. ", "signature": "sig=="}}],
        [{"redactedContent": "AAEC"}],
    ]


def test_a_signature_without_text_is_kept() -> None:
    state = said(thought(0, signature="s"), end(0), text(1, "a"), stop()).state
    assert json.loads(state)["bedrock_reasoning"] == [
        {"reasoningText": {"text": "", "signature": "s"}}
    ]


def test_reasoning_whose_block_does_not_end_is_kept_at_the_stop() -> None:
    assert said(thought(0, text="x", signature="s"), text(1, "a"), stop()).state


@pytest.mark.parametrize("redacted", ["?", "AAA", "é"])
def test_redacted_reasoning_that_is_not_base64_is_garbage(redacted: str) -> None:
    assert fault_of(thought(0, redactedContent=redacted), stop()).kind is FaultKind.MALFORMED


# The state goes back.


@pytest.mark.parametrize("through_rest", [False, True])
def test_kept_reasoning_goes_back_unchanged_and_first_in_its_turn(through_rest: bool) -> None:
    signed = {"text": 'Hm "é" \n\u2028', "signature": "sig/+=="}
    answer = said(
        thought(0, **signed),
        end(0),
        thought(1, redactedContent="AAEC"),
        end(1),
        text(2, "Let me"),
        end(2),
        begin(3),
        end(3),
        stop("tool_use"),
    )
    state = base64.b64decode(base64.b64encode(answer.state)) if through_rest else answer.state
    message = pb.Message(
        role=pb.ROLE_ASSISTANT,
        content=[pb.ContentPart(text=answer.text)],
        reasoning_content=answer.reasoning,
        tool_calls=[pb.ToolCall(id="t3", name="f", arguments="{}")],
        provider_state=state,
    )
    assert _sent(message)[1]["content"] == [
        {"reasoningContent": {"reasoningText": signed}},
        {"reasoningContent": {"redactedContent": "AAEC"}},
        {"text": "Let me"},
        {"toolUse": {"toolUseId": "t3", "name": "f", "input": {}}},
    ]


@pytest.mark.parametrize(
    "state",
    [
        b"\x00\xff",
        b"{}",
        b"[]",
        b"null",
        b'{"anthropic":{"at":[0,0],"block":{"type":"thinking"}}}\n',
        b'{"bedrock_reasoning":[{"reasoningText":{"text":"x"}}]}\n',
        b'{"bedrock_reasoning":[{"redactedContent":1}]}\n',
        b'{"bedrock_reasoning":{}}\n',
        b"[" * 100_000,
    ],
)
def test_state_that_is_not_ours_is_left_out(state: bytes) -> None:
    content = [pb.ContentPart(text="a")]
    message = pb.Message(role=pb.ROLE_ASSISTANT, content=content, provider_state=state)
    assert _sent(message)[1]["content"] == [{"text": "a"}]


def test_results_of_calls_whose_thinking_came_back_let_a_claude_think_again() -> None:
    thinking = said(thought(0, text="x", signature="s"), end(0), begin(1), end(1), stop("tool_use"))
    message = pb.Message(
        role=pb.ROLE_ASSISTANT,
        tool_calls=[pb.ToolCall(id="t1", name="f", arguments="{}")],
        provider_state=thinking.state,
    )
    result = pb.Message(role=pb.ROLE_TOOL, tool_call_id="t1", content=[pb.ContentPart(text="r")])
    request = pb.ChatCompletionRequest(
        messages=[_USER, message, result], reasoning_effort=pb.REASONING_EFFORT_LOW
    )
    http = DIALECT.encode(request, "anthropic.claude-haiku-4-5-20251001-v1:0", stream=True)
    assert http.ignored == ()
    assert "thinking" in json.loads(http.body)["additionalModelRequestFields"]


_USER = pb.Message(role=pb.ROLE_USER, content=[pb.ContentPart(text="Hi")])


def _sent(message: pb.Message) -> list[dict[str, Any]]:
    request = pb.ChatCompletionRequest(messages=[_USER, message, _USER])
    found: list[dict[str, Any]] = json.loads(
        DIALECT.encode(request, "some.model", stream=False).body
    )["messages"]
    return found


# Ends.


@pytest.mark.parametrize(
    ("native", "finish"),
    [
        ("end_turn", "stop"),
        ("stop_sequence", "stop"),
        ("tool_use", "stop"),
        ("max_tokens", "length"),
        ("model_context_window_exceeded", "length"),
        ("guardrail_intervened", "content_filter"),
        ("content_filtered", "content_filter"),
        ("brand_new", "stop"),
        (None, "stop"),
    ],
)
def test_every_stop_reason_has_its_meaning(native: str | None, finish: str) -> None:
    answer = said(text(0, "a"), stop(native))
    assert (answer.finish, answer.native) == (finish, native or "")


@pytest.mark.parametrize("native", ["malformed_model_output", "malformed_tool_use"])
def test_an_output_that_the_provider_could_not_read_is_an_error(native: str) -> None:
    assert fault_of(text(0, "a"), stop(native)).kind is FaultKind.REPORTED


@pytest.mark.parametrize(
    ("name", "kind", "status"),
    [
        ("throttlingException", FaultKind.STATUS, 429),
        ("modelStreamErrorException", FaultKind.STATUS, 424),
        ("modelErrorException", FaultKind.STATUS, 424),
        ("modelTimeoutException", FaultKind.STATUS, 408),
        ("modelNotReadyException", FaultKind.STATUS, 429),
        ("internalServerException", FaultKind.STATUS, 500),
        ("serviceUnavailableException", FaultKind.STATUS, 503),
        ("accessDeniedException", FaultKind.STATUS, 403),
        ("resourceNotFoundException", FaultKind.STATUS, 404),
        ("validationException", FaultKind.REJECTED, 400),
        ("somethingNewException", FaultKind.REPORTED, None),
    ],
)
def test_an_exception_inside_a_stream_means_what_its_type_says(
    name: str, kind: FaultKind, status: int | None
) -> None:
    said_too = {"message": "validationException: told", "originalStatusCode": 400}
    fault = fault_of(text(0, "a"), frames.exception(name, said_too))
    assert (fault.kind, fault.status, fault.told) == (kind, status, "validationException: told")
    assert "told" not in fault.detail


@pytest.mark.parametrize(
    ("code", "kind", "status"),
    [
        ("ThrottlingException", FaultKind.STATUS, 429),
        ("ValidationException", FaultKind.REJECTED, 400),
        ("InternalFailure", FaultKind.REPORTED, None),
        ("", FaultKind.REPORTED, None),
    ],
)
def test_an_error_that_is_no_exception_is_known_by_its_code(
    code: str, kind: FaultKind, status: int | None
) -> None:
    fault = fault_of(text(0, "a"), frames.error(code, "told"))
    assert (fault.kind, fault.status, fault.told) == (kind, status, "told")


@pytest.mark.parametrize("data", [b"", b"{", b"{}", b'{"message":1}', b"\xff", b"[" * 100_000])
def test_an_exception_is_one_whatever_its_data_looks_like(data: bytes) -> None:
    assert fault_of(frames.exception("throttlingException", data)).status == 429


def test_a_fault_tells_no_key_and_no_more_than_the_message() -> None:
    fault = fault_of(frames.exception("internalServerException", {"message": "Bearer abc.def\n x"}))
    assert "abc" not in fault.told


# What is unknown, and what is garbage.


def test_events_fields_and_pieces_that_nobody_knows_are_survived() -> None:
    answer = said(
        frames.event("initial-response", b""),
        frames.event("brandNew", b"not json"),
        frames.frame(frames.string(":message-type", "news"), b"x"),
        delta(0, audio={"x": 1}),
        frames.event("contentBlockDelta", {"contentBlockIndex": 0, "delta": {"text": "a"}, "p": 1}),
        frames.event("contentBlockDelta", {"contentBlockIndex": 0}),
        frames.event("contentBlockStart", {"contentBlockIndex": 1, "start": {"image": {}}}),
        end(7),
        stop(),
    )
    assert answer.text == "a"


NAMES = ["contentBlockStart", "contentBlockDelta", "contentBlockStop", "messageStop", "metadata"]


@pytest.mark.parametrize("name", NAMES)
def test_hostile_payloads_are_survived_or_garbage(name: str) -> None:
    for file in sorted(require_shared("nasty", "jsontestsuite").glob("*.json")):
        data = file.read_bytes()
        decoder = DIALECT.decode_stream()
        try:
            decoder.decode(Event(name, data), pb.ChatCompletionChunk())
            parsed = True
        except ProviderFault as fault:
            assert fault.kind is FaultKind.MALFORMED
            parsed = False
        assert not (parsed and file.name.startswith("n_")), file.name


STREAM = [
    *(START, thought(0, text="Hm", signature="s"), end(0), text(1, "naïve"), end(1)),
    *(begin(2), given_input(2, '{"a":1}'), end(2), stop("tool_use"), METADATA),
]
EVENTS = [event for piece in STREAM for event in DIALECT.framer().feed(piece)]


@settings(max_examples=300)
@given(st.integers(0, len(EVENTS) - 1), st.data())
def test_a_damaged_event_is_another_event_or_a_fault(which: int, data: st.DataObject) -> None:
    name, payload = EVENTS[which]
    at = data.draw(st.integers(0, len(payload)))
    to = data.draw(st.integers(at, len(payload)))
    damaged = Event(name, payload[:at] + data.draw(st.binary(max_size=4)) + payload[to:])
    decoder, chunk = DIALECT.decode_stream(), pb.ChatCompletionChunk()
    try:
        for event in [*EVENTS[:which], damaged, *EVENTS[which + 1 :]]:
            decoder.decode(event, chunk)
        fold(chunk, decoder.finish())
    except ProviderFault as fault:
        assert fault.kind in (FaultKind.MALFORMED, FaultKind.REPORTED, FaultKind.TRUNCATED)


@given(st.lists(st.sampled_from(EVENTS), max_size=12))
def test_events_in_any_order_give_an_answer_that_holds_together_or_a_fault(
    events: list[Event],
) -> None:
    decoder, chunk = DIALECT.decode_stream(), pb.ChatCompletionChunk()
    try:
        for event in events:
            decoder.decode(event, chunk)
        fold(chunk, decoder.finish())
    except ProviderFault as fault:
        assert fault.kind in (FaultKind.MALFORMED, FaultKind.TRUNCATED)
