"""What the embedded dialect adds to OpenAI's, before a request and after an answer."""

from __future__ import annotations

import json
from typing import Any

import pytest
from llmbase.v1 import chat_completion_pb2 as pb

from service.providers.dialects.dialect import Event
from service.providers.dialects.embedded import EmbeddedDialect, with_default_system
from service.providers.dialects.openai import OpenAiDialect

EMBEDDED = EmbeddedDialect(OpenAiDialect())


def said(role: int, text: str) -> pb.Message:
    return pb.Message(role=role, content=[pb.ContentPart(text=text)])


USER = said(pb.ROLE_USER, "Hello.")


def encode(request: pb.ChatCompletionRequest) -> Any:
    return json.loads(EMBEDDED.encode(request, "m", stream=False).body)


def test_a_conversation_without_a_system_message_begins_with_ours():
    request = pb.ChatCompletionRequest(model="m", messages=[USER], seed=7, stop=["x"])
    before = pb.ChatCompletionRequest.FromString(request.SerializeToString())
    encoded = with_default_system(request)
    assert request == before, "the request is shared with other attempts"
    assert list(encoded.messages) == [said(pb.ROLE_SYSTEM, "You are a helpful assistant."), USER]
    del encoded.messages[0]
    assert encoded == before
    assert [message["role"] for message in encode(request)["messages"]] == ["system", "user"]


@pytest.mark.parametrize("role", [pb.ROLE_SYSTEM, pb.ROLE_DEVELOPER])
def test_a_conversation_with_a_system_message_anywhere_stays_as_it_is(role: int):
    request = pb.ChatCompletionRequest(messages=[USER, said(role, "Be brief.")])
    assert with_default_system(request) == request
    assert len(encode(request)["messages"]) == 2


@pytest.mark.parametrize(
    ("asked", "sent"),
    [
        ({"logprobs": True}, 1),
        ({"logprobs": True, "top_logprobs": 0}, 1),
        ({"logprobs": True, "top_logprobs": 5}, 5),
        ({"logprobs": False}, None),
        ({}, None),
    ],
)
def test_logprobs_always_name_a_number_that_the_engine_honours(
    asked: dict[str, Any], sent: int | None
):
    request = pb.ChatCompletionRequest(messages=[said(pb.ROLE_SYSTEM, "x"), USER], **asked)
    before = pb.ChatCompletionRequest.FromString(request.SerializeToString())
    encoded = encode(request)
    assert request == before
    assert encoded.get("top_logprobs") == sent


def answer(texts: list[str], tokens: list[str]) -> bytes:
    """A whole answer in the engine's form."""
    logprobs = {"content": [{"token": token, "logprob": -1.0, "bytes": []} for token in tokens]}
    choices = [
        {
            "finish_reason": "stop",
            "index": index,
            "message": {"role": "assistant", "content": text},
            "logprobs": logprobs,
        }
        for index, text in enumerate(texts)
    ]
    return json.dumps({"choices": choices, "usage": usage(3)}).encode()


def usage(completion_tokens: int) -> dict[str, Any]:
    return {
        "completion_tokens": completion_tokens,
        "prompt_tokens": 10,
        "total_tokens": 10 + completion_tokens,
        "prompt_tokens_details": {"cached_tokens": 2},
    }


def event(**fields: Any) -> Event:
    return Event("", json.dumps(fields, separators=(",", ":")).encode())


@pytest.mark.parametrize(
    ("text", "tokens", "kept"),
    [
        ("Hi.", ["Hi", ".", ""], ["Hi", "."]),
        ("{}", ["{}", "\n", "\n", "  ", ""], ["{}"]),
        ("a\n", ["a", "\n", ""], ["a", "\n"]),
        ("a \n", ["a", " ", "\n"], ["a", " ", "\n"]),
        ("", [""], []),
        ("Hi", ["Hi"], ["Hi"]),
        ("Hi", [], []),
    ],
)
def test_tokens_that_are_not_in_the_text_are_dropped(text: str, tokens: list[str], kept: list[str]):
    completion = EMBEDDED.decode(answer([text], tokens))
    assert [token.token for token in completion.choices[0].logprobs.content] == kept


def test_usage_that_counts_one_choice_of_several_is_not_taken():
    assert EMBEDDED.decode(answer(["a"], [])).usage.total_tokens == 13
    assert not EMBEDDED.decode(answer(["a", "b"], [])).HasField("usage")


def test_a_streams_usage_is_the_sum_over_its_choices():
    decoder, chunk = EMBEDDED.decode_stream(2), pb.ChatCompletionChunk()
    for index in (1, 0):
        delta = {"content": 'say "usage":{"x":1}'}
        decoder.decode(event(choices=[{"index": index, "delta": delta}]), chunk)
        end = {"index": index, "delta": {}, "finish_reason": "stop"}
        decoder.decode(event(choices=[end]), chunk)
        decoder.decode(event(choices=[], usage=usage(4 + index)), chunk)
    assert decoder.finish().usage == pb.Usage(
        prompt_tokens=10, completion_tokens=9, total_tokens=19, cached_tokens=2
    )


def test_a_stream_without_usage_stays_without():
    decoder = EMBEDDED.decode_stream()
    end = {"index": 0, "delta": {"content": "a"}, "finish_reason": "stop"}
    decoder.decode(event(choices=[end]), pb.ChatCompletionChunk())
    assert not decoder.finish().HasField("usage")
