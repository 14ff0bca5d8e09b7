"""Requests as another translator, and a person who wrote them by hand, put them for this API.

Their requests are opinions: each difference from ours is listed below, with its reason. The
provider's answers to them are facts.
"""

from __future__ import annotations

import json
from typing import Any

import pytest
from llmbase.v1 import chat_completion_pb2 as pb

from gateway.transcoding.request import request_from_json
from service.providers.dialects.anthropic import AnthropicDialect
from service.providers.dialects.anthropic_models import claude
from service.providers.dialects.dialect import Event
from tests.support.shared import shared_json, shared_names
from tests.unit.service.providers.dialects.reading import Said, fold, whole

DIALECT = AnthropicDialect()
MOST_BY_DEFAULT = 4096 + 27648  # the default limit, raised by the largest budget
CASES = shared_names("translation", "anthropic", pattern="*.json")

# What differs between our request and one of theirs, by path; what is not listed must be equal.
# `words`: the hand-written case puts another question than its original; `limit`: it sets one that
# the original does not ask for; `room`: we raise the default limit by what may be thought;
# `adaptive`: theirs says how much effort but not that there may be thinking.
REASONS: dict[str, dict[str, str]] = {
    "chatCompletionsAssistantCacheControlParam": {
        "messages.1.content.0.cache_control": "a field that OpenAI's API does not have",
        "max_tokens": "limit",
    },
    "functionToolsWithReasoningEffortParam": {
        "max_tokens": "room",
        "thinking.budget_tokens": "theirs is half of their default limit",
    },
    "instructionsParam": {"max_tokens": "limit", "system.0.text": "words"},
    "jsonSchemaFormatParam": {"max_tokens": "limit"},
    "jsonSchemaPrefixItemsParam": {
        "output_config.format.schema.properties.tuple.description": "theirs drops the rules that "
        "cannot be enforced, ours tells them to the model",
    },
    "metadataParam": {"max_tokens": "limit", "metadata": "the original names no user"},
    "parallelToolCallsDisabledParam": {
        "max_tokens": "limit",
        "messages.0.content.0.text": "words",
        "tools.0.input_schema.additionalProperties": "the original says so",
    },
    "promptCacheKeyParam": {"max_tokens": "limit", "system": "words"},
    "reasoningEffortLowParam": {"max_tokens": "room", "thinking": "adaptive"},
    "reasoningEffortMinimalParam": {"max_tokens": "room"},
    "reasoningSummaryParam": {"max_tokens": "room", "thinking": "adaptive"},
    "stopSequencesParam": {"max_tokens": "limit", "messages.0.content.0.text": "words"},
    "textFormatJsonObjectParam": {
        "system": "we ask for JSON in words: their forced tool, whose schema says nothing, made "
        "the model wrap its answer, and rules out both other tools and thinking",
        "tools": "see system",
        "tool_choice": "see system",
    },
    "textFormatJsonSchemaParam": {"max_tokens": "limit"},
    "toolChoiceRequiredParam": {
        "max_tokens": "limit",
        "tools.0.input_schema.additionalProperties": "the original says so",
    },
}
# What is named beside the one of theirs: the hand-written cases are for a model that takes no
# `strict` tools.
IGNORED_BY_HAND = {
    "parallelToolCallsDisabledParam": ("tools[].function.strict",),
    "toolChoiceRequiredParam": ("tools[].function.strict",),
}
IGNORED = {
    "jsonSchemaPrefixItemsParam": ("response_format.json_schema.strict",),
    "logitBiasParam": ("logit_bias",),
    "metadataParam": ("metadata",),
    "nMultipleCompletionsParam": ("n",),
    "openaiPromptCacheKeyParam": ("prompt_cache_key",),
    "promptCacheKeyParam": ("prompt_cache_key",),
    "seedParam": ("seed",),
    "textFormatJsonObjectParam": ("response_format",),
}


def load(path: str) -> dict[str, Any]:
    case: dict[str, Any] = shared_json("translation", "anthropic", path)
    return case


def plain(body: Any) -> Any:
    """The body with every string that is short for one text block written out."""
    text = [{"type": "text", "text": body.get("system")}]
    found = {**body, "system": text} if isinstance(body.get("system"), str) else dict(body)
    found["messages"] = [{**turn, "content": blocks(turn["content"])} for turn in body["messages"]]
    return found


def blocks(content: Any) -> Any:
    if isinstance(content, str):
        return [{"type": "text", "text": content}]
    return [{**b, "content": blocks(b["content"])} if "content" in b else b for b in content]


def differences(ours: Any, theirs: Any, path: str = "") -> set[str]:
    """The paths at which two JSON values differ, down to where only one of them goes on."""
    if isinstance(ours, list) and isinstance(theirs, list) and len(ours) == len(theirs):
        ours, theirs = dict(enumerate(ours)), dict(enumerate(theirs))
    if not (isinstance(ours, dict) and isinstance(theirs, dict)):
        return set() if ours == theirs else {path}
    found = set()
    for key in ours.keys() | theirs.keys():
        below = f"{path}.{key}" if path else str(key)
        if key in ours and key in theirs:
            found |= differences(ours[key], theirs[key], below)
        else:
            found.add(below)
    return found


@pytest.mark.parametrize("path", CASES)
def test_our_request_differs_from_theirs_where_there_is_a_reason(path: str) -> None:
    case = load(path)
    found: set[str] = set()
    request, _, _ = request_from_json(json.dumps(case["openai_request"]).encode())
    for name in ("lingua_request", "provider_native_request"):
        theirs = case.get(name)
        if theirs:
            ours = DIALECT.encode(request, theirs["model"], stream=False)
            by_hand = IGNORED_BY_HAND if name == "provider_native_request" else {}
            assert ours.ignored == IGNORED.get(case["case"], by_hand.get(case["case"], ()))
            found |= differences(plain(json.loads(ours.body)), plain(theirs))
    assert found == set(REASONS.get(case["case"], {}))


@pytest.mark.parametrize("path", CASES)
def test_the_providers_answer_says_what_their_translation_says(path: str) -> None:
    case = load(path)
    answer = DIALECT.decode(json.dumps(case["provider_response"]).encode())
    (said,) = whole(answer).values()
    theirs = case["lingua_openai_response"]
    (choice,) = theirs["choices"]
    message = choice["message"]
    assert said.finish == choice["finish_reason"]
    assert said.reasoning == message.get("reasoning", "")
    if case["case"] == "textFormatJsonObjectParam":  # their tool's input, which is their text
        assert (said.calls[0].name, said.calls[0].arguments) == ("json", message["content"])
        return
    assert said.text == (message.get("content") or "")
    calls = [(c["id"], c["function"]["arguments"]) for c in message.get("tool_calls", [])]
    assert [(call.id, call.arguments) for call in said.calls] == calls
    figures = (answer.usage.prompt_tokens, answer.usage.completion_tokens)
    assert figures == (theirs["usage"]["prompt_tokens"], theirs["usage"]["completion_tokens"])


def test_the_providers_stream_says_what_its_events_say() -> None:
    events = load("reasoningRequestTruncated.json")["provider_stream_events"]
    deltas = [event["delta"] for event in events if event["type"] == "content_block_delta"]
    decoder, chunk = DIALECT.decode_stream(), pb.ChatCompletionChunk()
    for event in events:
        decoder.decode(Event(event["type"], json.dumps(event).encode()), chunk)
    (said,) = fold(chunk, decoder.finish()).values()
    assert said == Said("".join(d["text"] for d in deltas), finish="length", native="max_tokens")


def test_the_table_of_models_agrees_with_the_providers_own_list() -> None:
    models = shared_json("traffic", "anthropic", "models-list_bc1cb0", "response.json")["data"]
    assert len(models) > 5
    for model in models:
        can, takes = model["capabilities"], claude(model["id"])
        kinds = can["thinking"]["types"]
        assert takes.adaptive == kinds["adaptive"]["supported"], model["id"]
        assert takes.schemas == can["structured_outputs"]["supported"], model["id"]
        assert takes.adaptive or kinds["enabled"]["supported"], model["id"]
        if takes.adaptive:
            efforts = [can["effort"][word] for word in ("low", "medium", "high", "max")]
            assert all(effort["supported"] for effort in efforts), model["id"]
            assert takes.xhigh == can["effort"]["xhigh"]["supported"], model["id"]
        assert model["max_tokens"] >= MOST_BY_DEFAULT, model["id"]
