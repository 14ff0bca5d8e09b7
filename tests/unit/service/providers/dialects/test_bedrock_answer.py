from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from llmbase.v1 import chat_completion_pb2 as pb

from service.errors import FaultKind, ProviderFault
from service.providers.dialects.answer_tool import ANSWER_TOOL
from service.providers.dialects.bedrock import BedrockDialect
from tests.support.shared import require_shared
from tests.unit.service.providers.dialects.reading import Said, whole

DIALECT = BedrockDialect()
USAGE = {"inputTokens": 3, "outputTokens": 5, "totalTokens": 8}


def body(*blocks: Any, stop: str | None = "end_turn", usage: Any = None) -> bytes:
    answer = {
        "metrics": {"latencyMs": 1},
        "output": {"message": {"role": "assistant", "content": list(blocks)}},
        "stopReason": stop,
        "usage": USAGE if usage is None else usage,
    }
    return json.dumps(answer).encode()


def said(*blocks: Any, **fields: Any) -> Said:
    return whole(DIALECT.decode(body(*blocks, **fields)))[0]


def tool_use(name: str = "f", given: str = "{}", call_id: str = "t1", **more: Any) -> bytes:
    """An answer with one call, whose input is this text."""
    use = {"toolUseId": call_id, "name": name, "input": "INPUT", **more}
    return body({"toolUse": use}, stop="tool_use").replace(b'"INPUT"', given.encode())


def refused(data: bytes) -> ProviderFault:
    with pytest.raises(ProviderFault) as raised:
        DIALECT.decode(data)
    return raised.value


def test_the_texts_of_an_answer_are_one_text() -> None:
    assert said({"text": "Hel"}, {"text": ""}, {"text": "lo"}).text == "Hello"


def test_text_that_cites_a_source_is_text() -> None:
    cited = {"citationsContent": {"content": [{"text": "b"}, {"text": "c"}], "citations": [{}]}}
    bare: Any = {"citationsContent": {"citations": [{}]}}
    assert said({"text": "a"}, cited, bare, {"text": "d"}).text == "abcd"


def test_blocks_that_nobody_knows_are_passed_over() -> None:
    assert said({"audio": {"x": 1}}, {"text": "a", "new": [1]}, {}).text == "a"


@pytest.mark.parametrize("blocks", [[], [{"text": ""}], [{"image": {}}]])
def test_an_answer_that_says_nothing_is_an_empty_text(blocks: list[Any]) -> None:
    message = DIALECT.decode(body(*blocks)).choices[0].message
    assert [part.text for part in message.content] == [""]


def test_a_message_of_calls_has_no_content() -> None:
    answer = DIALECT.decode(tool_use())
    assert not answer.choices[0].message.content
    assert answer.choices[0].finish_reason == pb.FINISH_REASON_TOOL_CALLS
    assert answer.choices[0].native_finish_reason == "tool_use"


def test_the_input_of_a_call_is_its_text_to_the_letter() -> None:
    given = '{"z": 12345678901234567890123, "a": 1.10, "b": [ ], "é": "\\u00e9"}'
    assert whole(DIALECT.decode(tool_use(given=given)))[0].calls[0].arguments == given


@pytest.mark.parametrize("given", ["null", "{}"])
def test_a_call_without_input_has_an_empty_object(given: str) -> None:
    assert whole(DIALECT.decode(tool_use(given=given)))[0].calls[0].arguments == "{}"
    bare = body({"toolUse": {"name": "f"}})
    assert whole(DIALECT.decode(bare))[0].calls[0].arguments == "{}"


def test_calls_without_ids_get_their_own() -> None:
    calls = said({"toolUse": {"name": "f"}}, {"toolUse": {"name": "f"}}).calls
    assert len({call.id for call in calls}) == 2 and all(call.id for call in calls)


def test_a_call_without_a_name_is_garbage() -> None:
    assert refused(body({"toolUse": {"toolUseId": "t"}})).kind is FaultKind.MALFORMED


def test_a_call_that_the_provider_made_by_itself_is_not_the_callers() -> None:
    by_itself = {"name": "nova_grounding", "toolUseId": "t", "type": "server_tool_use", "input": {}}
    answer = said({"toolUse": by_itself}, {"toolResult": {"toolUseId": "t"}}, {"text": "a"})
    assert (answer.text, answer.calls, answer.finish) == ("a", [], "stop")


def test_an_answer_by_a_call_is_text_and_a_stop() -> None:
    answer = whole(DIALECT.decode(tool_use(ANSWER_TOOL, '{"a": 1}')))[0]
    assert (answer.text, answer.calls, answer.finish) == ('{"a": 1}', [], "stop")
    assert answer.native == "tool_use"


def test_the_callers_call_beside_an_answer_by_a_call_is_a_call() -> None:
    answer = said(
        {"toolUse": {"name": ANSWER_TOOL, "input": {"a": 1}}},
        {"toolUse": {"name": "f", "toolUseId": "t", "input": {}}},
        stop="tool_use",
    )
    assert ([call.name for call in answer.calls], answer.finish) == (["f"], "tool_calls")


@pytest.mark.parametrize(
    ("native", "finish"),
    [
        ("end_turn", "stop"),
        ("stop_sequence", "stop"),
        ("tool_use", "stop"),  # without a call there is nothing to do
        ("max_tokens", "length"),
        ("model_context_window_exceeded", "length"),
        ("guardrail_intervened", "content_filter"),
        ("content_filtered", "content_filter"),
        ("brand_new", "stop"),
        ("", "stop"),
        (None, "stop"),
    ],
)
def test_every_stop_reason_has_its_meaning(native: str | None, finish: str) -> None:
    answer = said({"text": "a"}, stop=native)
    assert (answer.finish, answer.native) == (finish, native or "")


def test_a_call_overrides_a_stop_and_nothing_else() -> None:
    call = {"toolUse": {"name": "f", "toolUseId": "t", "input": {}}}
    assert said(call, stop="end_turn").finish == "tool_calls"
    assert said(call, stop="max_tokens").finish == "length"
    assert said(call, stop="guardrail_intervened").finish == "content_filter"


@pytest.mark.parametrize("native", ["malformed_model_output", "malformed_tool_use"])
def test_an_output_that_the_provider_could_not_read_is_an_error(native: str) -> None:
    fault = refused(body({"text": "a"}, stop=native))
    assert (fault.kind, native in fault.detail) == (FaultKind.REPORTED, True)


def figures(**given: int) -> tuple[int, ...]:
    usage = DIALECT.decode(body({"text": "a"}, usage=given)).usage
    return (
        usage.prompt_tokens,
        usage.completion_tokens,
        usage.total_tokens,
        usage.cached_tokens,
        usage.cache_write_tokens,
    )


@pytest.mark.parametrize("total", [18, 111])
def test_the_caches_tokens_are_the_prompts_whatever_the_providers_total_says(total: int) -> None:
    given = {"inputTokens": 10, "outputTokens": 8, "totalTokens": total}
    cache = {"cacheReadInputTokens": 90, "cacheWriteInputTokens": 3}
    assert figures(**given, **cache) == (103, 8, 111, 90, 3)
    assert figures(**given) == (10, 8, 18, 0, 0)


@pytest.mark.parametrize("usage", [{}, {"inputTokens": 1}, {"outputTokens": 1}])
def test_half_of_a_usage_is_none(usage: dict[str, int]) -> None:
    answer = json.loads(body({"text": "a"}))
    answer["usage"] = usage
    assert not DIALECT.decode(json.dumps(answer).encode()).HasField("usage")


# Reasoning.

SIGNED = {"reasoningContent": {"reasoningText": {"text": "Hm. ", "signature": "sig=="}}}
UNSIGNED = {"reasoningContent": {"reasoningText": {"text": "So."}}}
REDACTED = {"reasoningContent": {"redactedContent": "AAEC"}}


def test_reasoning_is_told_and_what_is_opaque_of_it_is_kept() -> None:
    answer = said(SIGNED, REDACTED, UNSIGNED, {"text": "a"})
    assert (answer.reasoning, answer.text) == ("Hm. So.", "a")
    line = {"bedrock_reasoning": [SIGNED["reasoningContent"], REDACTED["reasoningContent"]]}
    assert json.loads(answer.state) == line


def test_reasoning_that_is_not_signed_leaves_no_state() -> None:
    assert said(UNSIGNED, {"text": "a"}).state == b""


# What is no answer.


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"null",
        b"[]",
        b"{}",
        b'{"output":null}',
        b'{"output":{"message":{}}}',
        b'{"output":{"message":{"content":null}}}',
        b'{"output":{"message":{"content":{}}}}',
        b'{"output":{"message":{"content":["a"]}}}',
        b'{"output":{"message":{"content":[{"text":1}]}}}',
        b'{"output":{"message":{"content":[{"toolUse":{"name":"f","input":"\xff"}}]}}}',
        b'{"output":{"message":{"content":[]}},"usage":[]}',
        b'{"output":{"message":{"content":[]}},"stopReason":1}',
        b"<html></html>",
        b"\xff\xfe",
        b"[" * 100_000,
    ],
)
def test_what_is_no_answer_is_garbage(data: bytes) -> None:
    assert refused(data).kind is FaultKind.MALFORMED


def test_hostile_bodies_are_garbage() -> None:
    for file in sorted(require_shared("nasty", "jsontestsuite").glob("*.json")):
        assert refused(file.read_bytes()).kind is FaultKind.MALFORMED, file.name


WHOLE = [
    body(SIGNED, REDACTED, {"text": "naïve 漢字"}, stop="end_turn"),
    body({"citationsContent": {"content": [{"text": "a"}]}}, {"text": "b"}),
    tool_use(given='{"a": [1, 2.5, null, "é"]}'),
]


@settings(max_examples=300)
@given(st.sampled_from(WHOLE), st.data())
def test_a_damaged_answer_is_another_answer_or_a_fault(answer: bytes, data: st.DataObject) -> None:
    at = data.draw(st.integers(0, len(answer) - 1))
    end = data.draw(st.integers(at, len(answer)))
    damaged = answer[:at] + data.draw(st.binary(max_size=4)) + answer[end:]
    try:
        whole(DIALECT.decode(damaged))
    except ProviderFault as fault:
        assert fault.kind in (FaultKind.MALFORMED, FaultKind.REPORTED)


# Errors.


@pytest.mark.parametrize(
    ("data", "wanted"),
    [
        (b'{"message":"Too many tokens"}', "Too many tokens"),
        (b'{"Message":"User is not authorized"}', "User is not authorized"),
        (b'{"__type":"x#ThrottlingException","message":"slow"}', "slow"),
        (b'{"message":null}', ""),
        (b'{"message":{"a":1}}', ""),
        (b"[]", ""),
        (b'"text"', ""),
        (b"<html>no</html>", ""),
        (b"", ""),
        (b"\xff", ""),
        (b"[" * 100_000, ""),
        (b'{"message":"' + b"x" * 5000 + b'"}', "x" * 2000),
    ],
)
def test_the_message_of_an_error_is_told(data: bytes, wanted: str) -> None:
    assert DIALECT.decode_error(400, data) == wanted
