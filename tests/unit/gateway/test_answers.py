"""What a whole answer looks like as JSON."""

from __future__ import annotations

import json
from typing import Any

import pytest
from llmbase.v1 import chat_completion_pb2 as pb

from gateway.transcoding.answers import completion_to_json
from tests.support.openai_schema import check

TEXT = pb.Message(role=pb.ROLE_ASSISTANT, content=[pb.ContentPart(text="Hello")])


def completion(*choices: pb.Choice, **fields: Any) -> pb.ChatCompletion:
    fields.setdefault("usage", pb.Usage(prompt_tokens=1, completion_tokens=2, total_tokens=3))
    return pb.ChatCompletion(id="chatcmpl-1", created=7, model="m", choices=choices, **fields)


def rendered(answer: pb.ChatCompletion) -> Any:
    body = json.loads(completion_to_json(answer))
    check("response", body)
    return body


def choice(message: pb.Message, finish: int = pb.FINISH_REASON_STOP, **fields: Any) -> pb.Choice:
    return pb.Choice(message=message, finish_reason=finish, **fields)


def test_a_plain_answer_has_the_documented_keys_and_no_others() -> None:
    assert rendered(completion(choice(TEXT))) == {
        "id": "chatcmpl-1",
        "object": "chat.completion",
        "created": 7,
        "model": "m",
        "choices": [
            {
                "index": 0,
                "message": {"role": "assistant", "content": "Hello"},
                "finish_reason": "stop",
            }
        ],
        "usage": {"prompt_tokens": 1, "completion_tokens": 2, "total_tokens": 3},
    }


def test_content_is_null_beside_tool_calls_and_arguments_stay_text() -> None:
    call = pb.ToolCall(id="c", name="f", arguments='{"a": 1e999')
    message = pb.Message(role=pb.ROLE_ASSISTANT, tool_calls=[call])

    said = rendered(completion(choice(message, pb.FINISH_REASON_TOOL_CALLS)))["choices"][0]

    function = {"name": "f", "arguments": '{"a": 1e999'}
    assert said["message"] == {
        "role": "assistant",
        "content": None,
        "tool_calls": [{"id": "c", "type": "function", "function": function}],
    }
    assert said["finish_reason"] == "tool_calls"


def test_an_empty_text_is_not_null() -> None:
    message = pb.Message(content=[pb.ContentPart(text="")])

    assert rendered(completion(choice(message)))["choices"][0]["message"]["content"] == ""


def test_what_carries_something_is_there() -> None:
    message = pb.Message(
        content=[pb.ContentPart(text="a"), pb.ContentPart(text="b")],
        reasoning_content="why",
        refusal="no",
        provider_state=b"\xff\x00",
        tool_calls=[pb.ToolCall(id="c", name="f", arguments="{}", provider_state=b"s")],
    )
    usage = pb.Usage(
        prompt_tokens=5,
        completion_tokens=4,
        total_tokens=9,
        cached_tokens=3,
        cache_write_tokens=2,
        reasoning_tokens=1,
        estimated=True,
    )

    body = rendered(completion(choice(message), usage=usage, system_fingerprint="fp"))

    said = body["choices"][0]["message"]
    assert (said["content"], said["reasoning_content"], said["refusal"]) == ("ab", "why", "no")
    assert said["provider_state"] == "/wA="
    assert said["tool_calls"][0]["provider_state"] == "cw=="
    assert body["system_fingerprint"] == "fp"
    assert body["usage"] == {
        "prompt_tokens": 5,
        "completion_tokens": 4,
        "total_tokens": 9,
        "prompt_tokens_details": {"cached_tokens": 3, "cache_write_tokens": 2},
        "completion_tokens_details": {"reasoning_tokens": 1},
        "estimated": True,
    }


def test_logprobs_have_openais_form() -> None:
    other = pb.TokenLogprob(token="b", logprob=-2.5)
    token = pb.TokenLogprob(token="é", logprob=-0.5, bytes="é".encode(), top_logprobs=[other])
    logprobs = pb.Logprobs(content=[token])

    said = rendered(completion(choice(TEXT, logprobs=logprobs)))["choices"][0]["logprobs"]

    assert said == {
        "content": [
            {
                "token": "é",
                "logprob": -0.5,
                "bytes": [195, 169],
                "top_logprobs": [{"token": "b", "logprob": -2.5, "bytes": None}],
            }
        ],
        "refusal": None,
    }


@pytest.mark.parametrize("native", ["stop", ""])
def test_the_providers_own_word_is_left_out_when_it_says_the_same(native: str) -> None:
    body = rendered(completion(choice(TEXT, native_finish_reason=native)))

    assert "native_finish_reason" not in body["choices"][0]


def test_the_providers_own_word_travels_beside_ours() -> None:
    body = rendered(completion(choice(TEXT, native_finish_reason="eos")))

    assert body["choices"][0]["finish_reason"] == "stop"
    assert body["choices"][0]["native_finish_reason"] == "eos"


def test_every_finish_reason_has_openais_word() -> None:
    words = {
        pb.FinishReason.Name(reason).removeprefix("FINISH_REASON_").lower(): rendered(
            completion(choice(TEXT, reason))
        )["choices"][0]["finish_reason"]
        for reason in pb.FinishReason.values()
        if reason != pb.FINISH_REASON_UNSPECIFIED
    }

    assert all(ours == theirs for ours, theirs in words.items())
    assert len(words) == 4


def test_choices_keep_their_order_and_index() -> None:
    body = rendered(completion(choice(TEXT, index=0), choice(TEXT, index=1)))

    assert [said["index"] for said in body["choices"]] == [0, 1]
