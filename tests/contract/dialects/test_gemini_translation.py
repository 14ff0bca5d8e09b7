"""Requests as another translator, and a person who wrote them by hand, put them for Gemini.

Their requests are opinions: each difference from ours is listed below, with its reason. The
provider's answers to them are facts.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import pytest
from llmbase.v1 import chat_completion_pb2 as pb

from gateway.transcoding.fields import BadField
from gateway.transcoding.request import request_from_json
from service.providers.dialects.dialect import Event
from service.providers.dialects.gemini import GeminiDialect
from tests.support.shared import shared_json, shared_names
from tests.unit.service.providers.dialects.reading import Said, fold, whole

DIALECT = GeminiDialect()
CASES = shared_names("translation", "gemini", pattern="*.json")
LINGUA, NATIVE = "lingua_request", "provider_native_request"

# What cannot come through our door at all: parts that are neither text nor an image.
REFUSED = {
    "chatCompletionsGcsBackedVideoFileParam",
    "chatCompletionsUrlBackedAudioFileParam",
    "chatCompletionsUrlBackedVideoFileParam",
}

_DROPPED = "they leave it out, though the API takes it"
_IDS = "we send the ids of calls where the API takes them"
_BY_HAND = "the older form of a schema, by hand; ours takes the schema as it is"
_OTHER_MODEL = "written for a model that has a budget of thoughts instead of a level"
_MORE = "the hand-written case sets more than the original asks for"
_TITLE = "they make the format's name the schema's title, which the model need not know"
_CLOSED = "by hand it is left out; ours takes the schema as it is"

# Per case, which paths of the two bodies differ, and why. What is not listed must be equal.
DIFFERENCES: dict[str, dict[str, dict[str, str]]] = {
    LINGUA: {
        "exclusiveMinimumToolParam": {
            "tools.0.functionDeclarations.0.parametersJsonSchema.properties.max_tokens"
            ".exclusiveMinimum": _DROPPED,
        },
        "googleToolCallThoughtSignatureReplayParam": {
            "contents.1.parts.0.functionCall.id": _IDS,
            "contents.2.parts.0.functionResponse.id": _IDS,
            "contents.1.parts.0.thoughtSignature": "an own field of theirs carries it, which our "
            "door does not know; so Google's substitute is sent",
        },
        "jsonSchemaFormatParam": {"generationConfig.responseJsonSchema.title": _TITLE},
        "jsonSchemaPrefixItemsParam": {"generationConfig.responseJsonSchema.title": _TITLE},
        "nMultipleCompletionsParam": {"generationConfig": _DROPPED},
        "reasoningEffortNoneParam": {
            "generationConfig.thinkingConfig.includeThoughts": "no thoughts are wanted",
            "generationConfig.thinkingConfig.thinkingLevel": "they leave it to the model, which "
            "may then think as much as it likes",
        },
        "seedParam": {"generationConfig": _DROPPED},
        "textFormatJsonSchemaParam": {"generationConfig.responseJsonSchema.title": _TITLE},
    },
    NATIVE: {
        "exclusiveMinimumToolParam": {
            "tools.0.functionDeclarations.0.parameters": _BY_HAND,
            "tools.0.functionDeclarations.0.parametersJsonSchema": _BY_HAND,
        },
        "googleToolCallThoughtSignatureReplayParam": {
            "contents.1.parts.0.functionCall.id": _IDS,
            "contents.2.parts.0.functionResponse.id": _IDS,
            "contents.1.parts.0.thoughtSignature": "as above",
            "tools.0.functionDeclarations.0.parameters": _BY_HAND,
            "tools.0.functionDeclarations.0.parametersJsonSchema": _BY_HAND,
            "toolConfig": "the original asks for the automatic choice in so many words",
        },
        "jsonSchemaFormatParam": {
            "generationConfig.temperature": _MORE,
            "generationConfig.maxOutputTokens": _MORE,
            "generationConfig.responseJsonSchema.additionalProperties": _CLOSED,
        },
        "jsonSchemaPrefixItemsParam": {
            "generationConfig.temperature": _MORE,
            "generationConfig.maxOutputTokens": _MORE,
            "generationConfig.responseJsonSchema.additionalProperties": _CLOSED,
        },
        "reasoningEffortLowParam": {
            "generationConfig.thinkingConfig.thinkingBudget": _OTHER_MODEL,
            "generationConfig.thinkingConfig.thinkingLevel": _OTHER_MODEL,
            "generationConfig.thinkingConfig.includeThoughts": "thoughts are reasoning_content",
        },
        "reasoningSummaryParam": {
            "generationConfig.thinkingConfig.thinkingBudget": _OTHER_MODEL,
            "generationConfig.thinkingConfig.thinkingLevel": _OTHER_MODEL,
        },
        "textFormatJsonSchemaParam": {
            "generationConfig.responseJsonSchema.additionalProperties": _CLOSED,
        },
        "toolChoiceRequiredParam": {
            "tools.0.functionDeclarations.0.parameters": _BY_HAND,
            "tools.0.functionDeclarations.0.parametersJsonSchema": _BY_HAND,
        },
    },
}


def case(path: str) -> dict[str, Any]:
    found: dict[str, Any] = shared_json("translation", "gemini", path)
    return found


def ours(found: dict[str, Any]) -> Any:
    request, _, _ = request_from_json(json.dumps(found["openai_request"]).encode())
    model = found[LINGUA]["model"]
    return json.loads(DIALECT.encode(request, model, stream=False).body)


def cleaned(value: Any) -> Any:
    """Theirs without what says nothing: nulls, and the model, which is in the path."""
    if isinstance(value, dict):
        kept = {key: cleaned(each) for key, each in value.items() if each is not None}
        return {key: each for key, each in kept.items() if each != {}}
    return [cleaned(each) for each in value] if isinstance(value, list) else value


def differences(one: Any, other: Any, path: str = "") -> Iterator[str]:
    if isinstance(one, dict) and isinstance(other, dict):
        for key in one.keys() | other.keys():
            yield from differences(one.get(key), other.get(key), f"{path}.{key}".lstrip("."))
    elif isinstance(one, list) and isinstance(other, list) and len(one) == len(other):
        for position, pair in enumerate(zip(one, other, strict=True)):
            yield from differences(*pair, f"{path}.{position}")
    elif one != other:
        yield path


@pytest.mark.parametrize("whose", [LINGUA, NATIVE])
@pytest.mark.parametrize("path", CASES)
def test_our_request_differs_from_theirs_only_where_there_is_a_reason(
    path: str, whose: str
) -> None:
    found = case(path)
    name = found["case"]
    if found[whose] is None:
        return
    if name in REFUSED:
        with pytest.raises(BadField):
            ours(found)
        return
    theirs = cleaned({key: value for key, value in found[whose].items() if key != "model"})
    assert set(differences(ours(found), theirs)) == set(DIFFERENCES[whose].get(name, {}))


@pytest.mark.parametrize("path", CASES)
def test_the_providers_answer_says_what_is_in_it(path: str) -> None:
    body = case(path)["provider_response"]
    if "candidates" not in body:
        return
    answer = DIALECT.decode(json.dumps(body).encode())
    check(whole(answer)[0], answer.usage, body["candidates"][0], body["usageMetadata"])


@pytest.mark.parametrize("path", CASES)
def test_the_providers_stream_says_what_is_in_it(path: str) -> None:
    events = case(path).get("provider_stream_events")
    if not events:
        return
    decoder, chunk = DIALECT.decode_stream(), pb.ChatCompletionChunk()
    for event in events:
        decoder.decode(Event("", json.dumps(event).encode()), chunk)
    last = decoder.finish()
    parts = [part for e in events for part in e["candidates"][0]["content"].get("parts", [])]
    candidate = events[-1]["candidates"][0] | {"content": {"parts": parts}}
    check(fold(chunk, last)[0], last.usage, candidate, events[-1]["usageMetadata"])


def check(said: Said, usage: pb.Usage, candidate: Any, used: Any) -> None:
    parts = candidate["content"]["parts"]
    assert said.text == text(parts, thought=False)
    assert said.reasoning == text(parts, thought=True)
    calls = [part["functionCall"] for part in parts if "functionCall" in part]
    assert [(c.name, json.loads(c.arguments)) for c in said.calls] == [
        (c["name"], c["args"]) for c in calls
    ]
    assert said.native == candidate["finishReason"]
    plain = {"STOP": "stop", "MAX_TOKENS": "length"}[said.native]
    assert said.finish == ("tool_calls" if calls else plain)
    thoughts = used.get("thoughtsTokenCount", 0)
    assert usage.reasoning_tokens == thoughts
    assert usage.completion_tokens == used["candidatesTokenCount"] + thoughts
    assert usage.prompt_tokens == used.get("promptTokenCount", 0)


def text(parts: Any, *, thought: bool) -> str:
    return "".join(p["text"] for p in parts if "text" in p and p.get("thought", False) == thought)
