"""A whole answer of the Messages API, and its errors."""

from __future__ import annotations

import json
from typing import Any

import pytest
from llmbase.v1 import chat_completion_pb2 as pb

from service.errors import FaultKind, ProviderFault
from service.providers.dialects.answer_tool import ANSWER_TOOL
from service.providers.dialects.anthropic import AnthropicDialect
from tests.unit.service.providers.dialects.reading import Call, Said, whole

DIALECT = AnthropicDialect()


def decode(*content: dict[str, Any], **fields: Any) -> pb.ChatCompletion:
    body = {"type": "message", "role": "assistant", "content": list(content), **fields}
    return DIALECT.decode(json.dumps(body).encode())


def said(*content: dict[str, Any], **fields: Any) -> Said:
    return whole(decode(*content, **{"stop_reason": "end_turn", **fields}))[0]


def text(value: str, **more: Any) -> dict[str, Any]:
    return {"type": "text", "text": value, **more}


def call(call_id: str = "toolu_1", given: Any = None, **more: Any) -> dict[str, Any]:
    return {"type": "tool_use", "id": call_id, "name": "look", "input": given or {}, **more}


def used(**figures: Any) -> pb.Usage:
    return decode(text("a"), usage=figures).usage


def fault(body: Any) -> ProviderFault:
    with pytest.raises(ProviderFault) as caught:
        DIALECT.decode(body if isinstance(body, bytes) else json.dumps(body).encode())
    return caught.value


def test_a_plain_answer_is_one_text_part_and_the_facts_about_it() -> None:
    answer = decode(
        text("Hi"),
        stop_reason="end_turn",
        stop_sequence=None,
        usage={"input_tokens": 3, "output_tokens": 2, "service_tier": "standard"},
    )
    assert answer == pb.ChatCompletion(
        choices=[
            pb.Choice(
                message=pb.Message(role=pb.ROLE_ASSISTANT, content=[pb.ContentPart(text="Hi")]),
                finish_reason=pb.FINISH_REASON_STOP,
                native_finish_reason="end_turn",
            )
        ],
        usage=pb.Usage(prompt_tokens=3, completion_tokens=2, total_tokens=5),
    )


@pytest.mark.parametrize(
    ("native", "finish"),
    [
        ("end_turn", "stop"),
        ("stop_sequence", "stop"),
        ("pause_turn", "stop"),
        ("max_tokens", "length"),
        ("model_context_window_exceeded", "length"),
        ("tool_use", "tool_calls"),
        ("refusal", "content_filter"),
        ("a word of tomorrow", "stop"),
    ],
)
def test_every_stop_reason_is_mapped_and_carried(native: str, finish: str) -> None:
    found = said(text("a"), stop_reason=native)
    assert (found.finish, found.native) == (finish, native)


def test_a_call_overrides_a_stop_and_only_that() -> None:
    assert said(call(), stop_reason="pause_turn").finish == "tool_calls"
    assert said(call(), stop_reason=None).finish == "tool_calls"
    assert said(call(), stop_reason="max_tokens").finish == "length"
    assert said(call(), stop_reason="refusal").finish == "content_filter"


def test_an_answer_by_a_call_is_text_and_a_stop() -> None:
    answer = call(given={"a": 1}, name=ANSWER_TOOL)
    found = said(answer, stop_reason="tool_use")
    assert (found.text, found.calls, found.finish) == ('{"a":1}', [], "stop")
    assert said(answer, stop_reason="max_tokens").finish == "length"


def test_the_callers_call_beside_an_answer_by_a_call_is_a_call() -> None:
    found = said(call(given={"a": 1}, name=ANSWER_TOOL), call("t2"), stop_reason="tool_use")
    assert found.text == '{"a":1}'
    assert ([made.id for made in found.calls], found.finish) == (["t2"], "tool_calls")


def test_a_refusal_says_why_beside_its_finish_reason() -> None:
    details = {"type": "refusal", "category": "cyber", "explanation": "Not this."}
    found = said(stop_reason="refusal", stop_details=details)
    assert (found.text, found.refusal, found.finish) == ("", "Not this.", "content_filter")
    assert said(text("a"), stop_details={"type": "other", "explanation": None}).refusal == ""


def test_text_blocks_are_one_text_and_server_tools_no_part_of_it() -> None:
    found = said(
        text("I search. "),
        {"type": "server_tool_use", "id": "srv_1", "name": "web_search", "input": {"query": "x"}},
        {"type": "web_search_tool_result", "tool_use_id": "srv_1", "content": [{"text": 5}]},
        text("It", citations=[{"type": "web_search_result_location", "cited_text": "It is."}]),
        {"type": "a kind of tomorrow", "text": {"not": "text"}},
        text(" is."),
    )
    assert found == Said("I search. It is.", finish="stop", native="end_turn")


def test_calls_keep_their_ids_and_the_text_of_their_input() -> None:
    arguments = '{"z":12345678901234567890123,"a":1.0}'
    body = (
        '{"content": [{"type": "tool_use", "id": "toolu_1", "name": "look", "input": '
        '{ "z": 12345678901234567890123,\n "a": 1.0 }}], "stop_reason": "tool_use"}'
    )
    (found,) = whole(DIALECT.decode(body.encode())).values()
    assert found.calls == [Call("toolu_1", "look", arguments)]


def test_a_call_without_an_id_gets_one_and_without_input_an_empty_object() -> None:
    nameless = {"type": "tool_use", "name": "look", "input": None}
    assert said(call(), nameless).calls == [
        Call("toolu_1", "look", "{}"),
        Call("call_0_1", "look", "{}"),
    ]


def test_thinking_is_reasoning_and_state() -> None:
    thought = {"type": "thinking", "thinking": "hm", "signature": "sig"}
    hidden = {"type": "redacted_thinking", "data": "xyz"}
    found = said(thought, hidden, text("a"))
    assert (found.text, found.reasoning) == ("a", "hm")
    lines = [json.loads(line) for line in found.state.splitlines()]
    assert [line["anthropic"]["block"] for line in lines] == [thought, hidden]


def test_prompt_tokens_include_what_the_cache_read_and_wrote() -> None:
    found = used(
        input_tokens=3,
        cache_read_input_tokens=100,
        cache_creation_input_tokens=20,
        output_tokens=5,
    )
    assert (found.prompt_tokens, found.completion_tokens, found.total_tokens) == (123, 5, 128)
    assert (found.cached_tokens, found.cache_write_tokens) == (100, 20)


def test_thinking_tokens_are_part_of_the_completion() -> None:
    found = used(input_tokens=1, output_tokens=9, output_tokens_details={"thinking_tokens": 4})
    assert (found.completion_tokens, found.reasoning_tokens) == (9, 4)
    found = used(input_tokens=1, output_tokens=9, output_tokens_details={"thinking_tokens": 40})
    assert (found.completion_tokens, found.reasoning_tokens) == (9, 9)


def test_without_usage_none_is_made_up() -> None:
    assert not decode(text("a")).HasField("usage")
    assert not decode(text("a"), usage={"input_tokens": 3}).HasField("usage")


@pytest.mark.parametrize(
    "body",
    [
        {"type": "message"},
        {"content": None},
        {"content": "text"},
        {"content": ["text"]},
        {"content": [{"type": "text", "text": 5}]},
        {"content": [{"type": "tool_use", "id": "a", "input": {}}]},
        {"content": [{"type": "tool_use", "name": "a", "input": "{}"}]},
        {"content": [], "stop_reason": 5},
        {"content": [], "usage": {"input_tokens": "3"}},
        b'{"content": [{"type": "thinking", "signature": "\xff"}]}',
        b"[1, 2]",
        b"<html>",
    ],
    ids=str,
)
def test_what_is_not_an_answer_is_malformed(body: Any) -> None:
    assert fault(body).kind is FaultKind.MALFORMED


@pytest.mark.parametrize(
    ("word", "kind", "status"),
    [
        ("invalid_request_error", FaultKind.REJECTED, 400),
        ("authentication_error", FaultKind.STATUS, 401),
        ("billing_error", FaultKind.STATUS, 402),
        ("permission_error", FaultKind.STATUS, 403),
        ("not_found_error", FaultKind.STATUS, 404),
        ("request_too_large", FaultKind.REJECTED, 413),
        ("rate_limit_error", FaultKind.STATUS, 429),
        ("api_error", FaultKind.STATUS, 500),
        ("timeout_error", FaultKind.STATUS, 504),
        ("overloaded_error", FaultKind.STATUS, 529),
        ("a word of tomorrow", FaultKind.REPORTED, None),
        (5, FaultKind.REPORTED, None),
    ],
)
def test_an_error_for_an_answer_is_what_its_type_says(
    word: Any, kind: FaultKind, status: int | None
) -> None:
    found = fault({"type": "error", "error": {"type": word, "message": "secret words"}})
    assert (found.kind, found.status, found.told) == (kind, status, "secret words")
    assert "secret" not in found.detail


def test_an_http_error_body_tells_its_message() -> None:
    body = {"type": "error", "error": {"type": "not_found_error", "message": "model: x"}}
    assert DIALECT.decode_error(404, json.dumps(body).encode()) == "model: x"
    assert DIALECT.decode_error(502, b"<html>Bad gateway</html>") == ""


def test_what_an_error_tells_holds_no_key_and_is_bounded() -> None:
    words = "invalid key sk-ant-api03-abcdefgh " + "x" * 1000
    told = fault({"type": "error", "error": {"type": "api_error", "message": words}}).told
    assert "abcdefgh" not in told and len(told) <= 500
