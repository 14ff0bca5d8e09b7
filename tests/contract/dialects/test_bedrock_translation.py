"""Requests in OpenAI's form as another translator, or a human, writes them for Bedrock; and what
Bedrock answered. The answers are facts, a difference in a request is one that was looked at.
"""

from __future__ import annotations

import json
from typing import Any

import pytest
from llmbase.v1 import chat_completion_pb2 as pb

from gateway.transcoding.request import request_from_json
from service.errors import InvalidRequest
from service.providers.dialects.bedrock import BedrockDialect
from tests.support import event_frames as frames
from tests.support.shared import shared_json, shared_names
from tests.unit.service.providers.dialects.reading import fold, read_stream, whole

DIALECT = BedrockDialect()
CASES = [
    name.removesuffix(".json") for name in shared_names("translation", "bedrock", pattern="*.json")
]
HTTPS_IMAGE = "imageUrlMimeTypeFallbackParam"  # they send a URL as bytes, and Bedrock refuses it
ANSWERED = [case for case in CASES if case != HTTPS_IMAGE]

NAMED = "they leave it out without a word"
STRICT = "the model enforces strict arguments, they do not ask it to"
SCHEMA = "the model can be held to the schema, they let it answer as it likes (and it does)"
BUDGET = "no provider says how many tokens an effort is worth"
# What differs, by the keys of the body and the names of what is left out; and why.
REVIEWED: dict[str, tuple[set[str], tuple[str, ...], str]] = {
    "functionToolsWithReasoningEffortParam": (
        {"toolConfig", "additionalModelRequestFields"},
        (),
        f"{STRICT}; {BUDGET}",
    ),
    "instructionsParam": (
        {"system", "messages"},
        (),
        "there is a place for instructions, which they put into the user's mouth",
    ),
    "jsonSchemaFormatParam": ({"outputConfig"}, (), SCHEMA),
    "jsonSchemaPrefixItemsParam": (
        {"outputConfig"},
        ("response_format.json_schema.strict",),
        f"{SCHEMA}; but not all of this one can be enforced",
    ),
    "logitBiasParam": (set(), ("logit_bias",), NAMED),
    "metadataParam": ({"requestMetadata"}, (), "there is a place for labels"),
    "nMultipleCompletionsParam": (set(), ("n",), NAMED),
    "openaiPromptCacheKeyParam": (set(), ("prompt_cache_key",), NAMED),
    "parallelToolCallsDisabledParam": (
        {"toolConfig"},
        ("parallel_tool_calls",),
        f"{STRICT}; {NAMED}",
    ),
    "promptCacheKeyParam": (set(), ("prompt_cache_key",), NAMED),
    "reasoningEffortLowParam": ({"additionalModelRequestFields"}, (), BUDGET),
    "reasoningEffortNoneParam": (
        {"additionalModelRequestFields"},
        (),
        "the model does not think unasked, and some models refuse to be told not to",
    ),
    "reasoningSummaryParam": ({"additionalModelRequestFields"}, (), BUDGET),
    "seedParam": (set(), ("seed",), NAMED),
    "textFormatJsonObjectParam": (
        {"system"},
        ("response_format",),
        "asked for in words; they do not ask, and the answer comes in a code fence",
    ),
    "textFormatJsonSchemaParam": ({"outputConfig"}, (), SCHEMA),
    "toolChoiceRequiredParam": ({"toolConfig"}, (), f"{STRICT}; they forget what must be called"),
}


def asked(case: str) -> pb.ChatCompletionRequest:
    openai = shared_json("translation", "bedrock", f"{case}.json")["openai_request"]
    return request_from_json(json.dumps(openai).encode())[0]


@pytest.mark.parametrize("case", ANSWERED)
def test_a_request_is_what_others_make_of_it_or_the_difference_is_known(case: str) -> None:
    known = shared_json("translation", "bedrock", f"{case}.json")
    theirs = known["provider_native_request"] or known["lingua_request"]
    http = DIALECT.encode(asked(case), theirs.pop("modelId"), stream=False)
    ours = json.loads(http.body)
    differs = {key for key in ours.keys() | theirs.keys() if ours.get(key) != theirs.get(key)}
    assert (differs, http.ignored) == REVIEWED.get(case, (set(), (), ""))[:2]


def test_an_image_by_reference_is_refused_before_the_provider_does() -> None:
    if HTTPS_IMAGE in CASES:
        with pytest.raises(InvalidRequest) as raised:
            DIALECT.encode(asked(HTTPS_IMAGE), "some.model", stream=False)
        assert raised.value.violations[0].field == "messages[0].content[1].image_url.url"


@pytest.mark.parametrize("case", ANSWERED)
def test_a_recorded_answer_is_reproduced(case: str) -> None:
    known = shared_json("translation", "bedrock", f"{case}.json")
    answer = DIALECT.decode(json.dumps(known["provider_response"]).encode())
    said = whole(answer)[0]
    wanted = known["lingua_openai_response"]["choices"][0]
    message = wanted["message"]
    assert said.text == (message.get("content") or "")
    assert said.reasoning == message.get("reasoning", "")
    assert said.finish == wanted["finish_reason"]
    calls = [(call.id, call.name, json.loads(call.arguments)) for call in said.calls]
    assert calls == [_call(call) for call in message.get("tool_calls", [])]
    assert _signatures(said.state) == _listed(message.get("reasoning_signature", []))
    usage = known["lingua_openai_response"]["usage"]
    assert (answer.usage.prompt_tokens, answer.usage.completion_tokens) == (
        usage["prompt_tokens"],
        usage["completion_tokens"],
    )


@pytest.mark.parametrize("case", ANSWERED)
def test_a_recorded_stream_of_events_is_an_answer(case: str) -> None:
    known = shared_json("translation", "bedrock", f"{case}.json")
    events = [item for pair in known["provider_stream_events"] for item in pair.items()]
    pieces = [frames.event(name, payload) for name, payload in events]
    chunk, last = read_stream(DIALECT, pieces)
    said = fold(chunk, last)[0]
    deltas = [payload["delta"] for _, payload in events if "delta" in payload]
    assert said.text == "".join(delta.get("text", "") for delta in deltas)
    assert said.reasoning == _all(deltas, "reasoningContent", "text")
    assert "".join(call.arguments for call in said.calls) == _all(deltas, "toolUse", "input")
    assert "".join(_signatures(said.state)) == _all(deltas, "reasoningContent", "signature")
    assert [said.native] == [p["stopReason"] for name, p in events if name == "messageStop"]
    (usage,) = (payload["usage"] for name, payload in events if name == "metadata")
    assert (last.usage.prompt_tokens, last.usage.completion_tokens) == (
        usage["inputTokens"],
        usage["outputTokens"],
    )


def _call(given: dict[str, Any]) -> tuple[str, str, Any]:
    function = given["function"]
    return given["id"], function["name"], json.loads(function["arguments"])


def _signatures(state: bytes) -> list[str]:
    lines = [json.loads(line)["bedrock_reasoning"] for line in state.splitlines()]
    return [kept["reasoningText"]["signature"] for line in lines for kept in line]


def _listed(given: str | list[str]) -> list[str]:
    return [given] if isinstance(given, str) else given


def _all(deltas: list[Any], block: str, field: str) -> str:
    return "".join(delta.get(block, {}).get(field, "") for delta in deltas)
