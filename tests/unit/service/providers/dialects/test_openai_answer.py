from __future__ import annotations

import json
from typing import Any

import pytest
from llmbase.v1 import chat_completion_pb2 as pb

from service.errors import FaultKind, ProviderFault
from service.providers.dialects.openai import OpenAiDialect
from tests.unit.service.providers.dialects.reading import Said, whole

DIALECT = OpenAiDialect()


def decode(body: Any) -> pb.ChatCompletion:
    return DIALECT.decode(json.dumps(body).encode())


def answered(message: dict[str, Any], **choice: Any) -> pb.ChatCompletion:
    return decode({"id": "a1", "choices": [{"index": 0, "message": message, **choice}]})


def said(message: dict[str, Any], finish: str | None = "stop") -> Said:
    return whole(answered(message, finish_reason=finish))[0]


def refused(body: bytes) -> FaultKind:
    with pytest.raises(ProviderFault) as caught:
        DIALECT.decode(body)
    return caught.value.kind


def calling(*calls: dict[str, Any]) -> dict[str, Any]:
    return {"role": "assistant", "content": None, "tool_calls": list(calls)}


def call(name: str, arguments: Any = "{}", **fields: Any) -> dict[str, Any]:
    return {"type": "function", "function": {"name": name, "arguments": arguments}, **fields}


def used(**usage: Any) -> pb.Usage:
    return decode({"choices": [{"message": {"content": "x"}}], "usage": usage}).usage


def test_a_plain_answer_is_one_text_part_and_the_facts_about_it() -> None:
    answer = decode(
        {
            "id": "x",
            "model": "theirs",
            "system_fingerprint": "fp",
            "choices": [
                {
                    "index": 0,
                    "message": {"role": "assistant", "content": "Hi", "refusal": None},
                    "finish_reason": "stop",
                    "logprobs": None,
                }
            ],
            "usage": {"prompt_tokens": 1, "completion_tokens": 2, "total_tokens": 99},
        }
    )
    assert answer == pb.ChatCompletion(
        choices=[
            pb.Choice(
                message=pb.Message(role=pb.ROLE_ASSISTANT, content=[pb.ContentPart(text="Hi")]),
                finish_reason=pb.FINISH_REASON_STOP,
                native_finish_reason="stop",
            )
        ],
        usage=pb.Usage(prompt_tokens=1, completion_tokens=2, total_tokens=3),
        system_fingerprint="fp",
    )


@pytest.mark.parametrize(
    ("content", "parts"),
    [
        ("", [""]),
        (None, []),
        ([], [""]),
        ([{"type": "text", "text": "a"}, {"type": "text", "text": "b"}], ["ab"]),
        ([{"type": "thinking", "thinking": "hm"}, {"type": "text", "text": "a"}], ["a"]),
        ([{"type": "reference", "reference_ids": [1], "text": "?"}], [""]),
    ],
)
def test_content_may_be_a_string_a_list_or_nothing(content: Any, parts: list[str]) -> None:
    message = answered({"content": content}).choices[0].message
    if any(isinstance(part, dict) and part["type"] == "thinking" for part in content or []):
        assert message.reasoning_content == "hm"
    assert [part.text for part in message.content] == parts


@pytest.mark.parametrize("other", [{"refusal": "no"}, {"reasoning": "hm"}, calling(call("f"))])
def test_an_empty_string_beside_something_else_is_no_content(other: dict[str, Any]) -> None:
    assert not answered({**other, "content": ""}).choices[0].message.content


@pytest.mark.parametrize(
    "spelling",
    [
        {"reasoning_content": "hm"},
        {"reasoning": "hm"},
        {"reasoning_text": "hm"},
        {"thinking": "hm"},
        {"reasoning": "hm", "reasoning_content": "hm"},
        {"reasoning": "hm", "reasoning_content": ""},
        {"reasoning": None, "reasoning_content": "hm"},
        {"content": [{"type": "thinking", "thinking": "hm"}]},
        {"content": [{"type": "thinking", "thinking": [{"type": "text", "text": "hm"}]}]},
        {"reasoning": "hm", "content": [{"type": "thinking", "thinking": "hm"}]},
    ],
)
def test_reasoning_is_read_once_from_any_of_its_spellings(spelling: dict[str, Any]) -> None:
    assert said(spelling).reasoning == "hm"


def test_a_refusal_is_read_from_its_field_or_from_a_part() -> None:
    assert said({"content": None, "refusal": "no"}).refusal == "no"
    assert said({"content": [{"type": "refusal", "refusal": "no"}]}).refusal == "no"
    assert not answered({"content": "x", "refusal": ""}).choices[0].message.HasField("refusal")


@pytest.mark.parametrize(
    ("given", "wanted"),
    [
        ('{"a": 1.0}', '{"a": 1.0}'),
        ("{not json", "{not json"),
        ("", "{}"),
        (" \n", "{}"),
        (None, "{}"),
        ({}, "{}"),
    ],
)
def test_arguments_are_text_and_never_empty(given: Any, wanted: str) -> None:
    assert said(calling(call("f", given, id="c"))).calls[0].arguments == wanted


def test_arguments_given_as_an_object_keep_their_order_and_numbers() -> None:
    body = (
        b'{"choices":[{"message":{"tool_calls":[{"id":"c","function":{"name":"f","arguments":'
        b'{ "b" : 12345678901234567890123, "a":[1.10, 1E400 ], "\xc3\xa9": "a  b" }}}]}}]}'
    )
    (found,) = whole(DIALECT.decode(body))[0].calls
    assert found.arguments == '{"b":12345678901234567890123,"a":[1.10,1E400],"é":"a  b"}'


def test_ids_are_unique_where_the_provider_gives_none_or_the_same() -> None:
    calls = [call("f", id="x"), call("f", id="x"), call("g"), call("h", id=""), call("i", id=None)]
    found = [c.id for c in said(calling(*calls)).calls]
    assert found[0] == "x"
    assert len(set(found)) == len(found)
    assert all(found)
    assert found == [c.id for c in said(calling(*calls)).calls], "the same answer, the same ids"


def test_own_ids_differ_between_answers() -> None:
    bodies = [{"id": i, "choices": [{"message": calling(call("f"))}]} for i in ("a", "b")]
    first, second = (whole(decode(body))[0].calls[0].id for body in bodies)
    assert first != second


def test_the_old_function_call_is_a_tool_call() -> None:
    found = said({"function_call": {"name": "f", "arguments": ""}}, "function_call")
    assert [(c.name, c.arguments) for c in found.calls] == [("f", "{}")]
    assert (found.finish, found.native) == ("tool_calls", "function_call")


def test_an_empty_function_call_beside_tool_calls_is_nothing() -> None:
    message = calling(call("f", id="c")) | {"function_call": {"name": "", "arguments": ""}}
    assert [c.name for c in said(message).calls] == ["f"]
    assert not said({"content": "x", "function_call": {"name": "", "arguments": ""}}).calls


@pytest.mark.parametrize("nameless", [{"id": "c"}, call(""), {"function": {"arguments": "{}"}}])
def test_a_call_without_a_name_is_malformed(nameless: dict[str, Any]) -> None:
    body = {"choices": [{"message": calling(nameless)}]}
    assert refused(json.dumps(body).encode()) is FaultKind.MALFORMED


@pytest.mark.parametrize(
    ("native", "alone", "with_a_call"),
    [
        ("stop", "stop", "tool_calls"),
        ("STOP", "stop", "tool_calls"),
        ("eos", "stop", "tool_calls"),
        ("end_turn", "stop", "tool_calls"),
        ("", "stop", "tool_calls"),
        (None, "stop", "tool_calls"),
        ("a word of tomorrow", "stop", "tool_calls"),
        ("length", "length", "length"),
        ("max_tokens", "length", "length"),
        ("MAX_TOKENS", "length", "length"),
        ("model_length", "length", "length"),
        ("content_filter", "content_filter", "content_filter"),
        ("tool_calls", "tool_calls", "tool_calls"),
        ("function_call", "tool_calls", "tool_calls"),
    ],
)
def test_a_finish_word_is_mapped_and_a_call_overrides_only_stop(
    native: str | None, alone: str, with_a_call: str
) -> None:
    found = said({"content": "x"}, native), said(calling(call("f", id="c")), native)
    assert [one.finish for one in found] == [alone, with_a_call]
    assert [one.native for one in found] == [native or ""] * 2


@pytest.mark.parametrize("native", ["error", "abort", "insufficient_system_resource"])
def test_an_answer_that_was_broken_off_is_an_error(native: str) -> None:
    body = {"choices": [{"message": {"content": "x"}, "finish_reason": native}]}
    assert refused(json.dumps(body).encode()) is FaultKind.REPORTED


def test_choices_come_by_ascending_index() -> None:
    choices = [{"index": i, "message": {"content": str(i)}} for i in (2, 0, 1)]
    answer = decode({"choices": choices})
    assert [(c.index, c.message.content[0].text) for c in answer.choices] == [
        (0, "0"),
        (1, "1"),
        (2, "2"),
    ]


@pytest.mark.parametrize("index", [{}, {"index": None}, {"index": 0}])
def test_choices_without_indexes_of_their_own_are_numbered(index: dict[str, Any]) -> None:
    answer = decode({"choices": [{**index, "message": {"content": t}} for t in "ab"]})
    assert [(c.index, c.message.content[0].text) for c in answer.choices] == [(0, "a"), (1, "b")]


def test_log_probabilities_are_carried_whole() -> None:
    likely = {"token": "é", "logprob": -1, "bytes": [195, 169]}
    tokens = [
        likely | {"top_logprobs": [likely | {"bytes": None}, {"token": "e", "logprob": None}]}
    ]
    logprobs = {"content": tokens, "refusal": [likely | {"bytes": []}], "new": 1}
    choice = answered({"content": "é"}, logprobs=logprobs).choices[0]
    assert choice.logprobs == pb.Logprobs(
        content=[
            pb.TokenLogprob(
                token="é",
                logprob=-1,
                bytes=b"\xc3\xa9",
                top_logprobs=[
                    pb.TokenLogprob(token="é", logprob=-1),
                    pb.TokenLogprob(token="e", logprob=-9999),
                ],
            )
        ],
        refusal=[pb.TokenLogprob(token="é", logprob=-1, bytes=b"")],
    )


@pytest.mark.parametrize("none", [None, {}, {"content": None}, {"content": [], "refusal": []}])
def test_no_log_probabilities_are_no_message(none: Any) -> None:
    assert not answered({"content": "x"}, logprobs=none).choices[0].HasField("logprobs")


@pytest.mark.parametrize(
    "spelling",
    [
        {"prompt_tokens_details": {"cached_tokens": 3}},
        {"prompt_tokens_details": {"cached_tokens": 3}, "cached_tokens": 0},
        {"cached_tokens": 3},
        {"prompt_cache_hit_tokens": 3, "prompt_cache_miss_tokens": 7},
        {"cache_read_input_tokens": 3},
    ],
)
def test_cached_tokens_are_read_from_any_of_their_spellings(spelling: dict[str, Any]) -> None:
    assert used(prompt_tokens=10, completion_tokens=2, **spelling) == pb.Usage(
        prompt_tokens=10, completion_tokens=2, total_tokens=12, cached_tokens=3
    )


@pytest.mark.parametrize(
    "spelling",
    [{"prompt_tokens_details": {"cache_write_tokens": 3}}, {"cache_creation_input_tokens": 3}],
)
def test_tokens_written_to_the_cache_are_read_too(spelling: dict[str, Any]) -> None:
    assert used(prompt_tokens=10, completion_tokens=2, **spelling).cache_write_tokens == 3


@pytest.mark.parametrize(
    "spelling", [{"completion_tokens_details": {"reasoning_tokens": 5}}, {"reasoning_tokens": 5}]
)
def test_reasoning_tokens_are_part_of_the_completion(spelling: dict[str, Any]) -> None:
    within = used(prompt_tokens=10, completion_tokens=7, total_tokens=17, **spelling)
    beside = used(prompt_tokens=10, completion_tokens=2, total_tokens=17, **spelling)
    wanted = pb.Usage(prompt_tokens=10, completion_tokens=7, total_tokens=17, reasoning_tokens=5)
    assert within == beside == wanted


@pytest.mark.parametrize(
    "usage", [None, {}, {"prompt_tokens": 5}, {"prompt_tokens": 5, "completion_tokens": None}]
)
def test_usage_that_is_not_told_in_full_is_not_told(usage: Any) -> None:
    answer = decode({"choices": [{"message": {"content": "x"}}], "usage": usage})
    assert not answer.HasField("usage")


def test_an_answer_without_a_choice_is_truncated_and_one_without_choices_malformed() -> None:
    assert refused(b'{"choices":[]}') is FaultKind.TRUNCATED
    assert refused(b'{"id":"x"}') is FaultKind.MALFORMED
    assert refused(b'{"choices":[{"index":0,"message":null}]}') is FaultKind.MALFORMED
