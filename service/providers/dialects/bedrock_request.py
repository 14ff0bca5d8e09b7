"""A request in our proto as the JSON body of Converse.

| field | what becomes of it |
|---|---|
| messages | turns that alternate, see bedrock_messages.py; system and developer text: `system` |
| max_tokens | `inferenceConfig.maxTokens`; absent, it is the model's own limit |
| temperature | at most 1; beside Claude's thinking, and to newer Claudes, 1 or nothing |
| top_p | as it is; beside Claude's thinking from 0.95; not beside `temperature` to newer Claudes |
| stop | `stopSequences`, to Claude without blank ones |
| tools, tool_choice, response_format | see bedrock_tools.py |
| reasoning_effort | `additionalModelRequestFields`, see bedrock_reasoning.py |
| metadata | `requestMetadata`, without labels outside its alphabet |
| service_tier | `serviceTier`; `auto` is to leave it to the provider |

All others have no equal. What is left out or not wholly honoured is named, unless it asks for what
happens anyway.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

import orjson
from llmbase.v1 import chat_completion_pb2 as pb

from service.providers.dialects import bedrock_messages as blocks
from service.providers.dialects import bedrock_tools as tools
from service.providers.dialects.anthropic_models import Claude
from service.providers.dialects.anthropic_tools import Ignored
from service.providers.dialects.bedrock_models import Family, family
from service.providers.dialects.bedrock_reasoning import Reasoning, reasoning
from service.providers.dialects.turns import refuse_to_go_on, split_system, turns

_MOST_TEMPERATURE = 1.0
_LEAST_TOP_P = 0.95  # beside Claude's thinking
_TIERS = ("default", "flex", "priority", "reserved")
_LABEL = re.compile(r"[a-zA-Z0-9\s:_@$#=/+,.-]{0,256}", re.ASCII)


def encode(
    request: pb.ChatCompletionRequest, model: str, extra_body: Mapping[str, Any]
) -> tuple[bytes, tuple[str, ...]]:
    """Return the body, and the names of the fields that could not be honoured.

    `extra_body` is merged in, its objects key by key; the request's own fields win. Raises
    InvalidRequest for an image that does not come in bytes, or not of a known type, and for an
    answer to be gone on with where the model does not.
    """
    ignored = Ignored()
    takes = family(model)
    system, others = split_system(request.messages)
    conversation = turns(others)
    thinkable = not (tools.must_call(request, takes) or blocks.lacks_thoughts(conversation))
    wanted = reasoning(request, takes, thinkable=thinkable)
    ignored.add("reasoning_effort", not wanted.honoured)
    messages = blocks.messages(conversation, request.messages)
    if messages and messages[-1]["role"] == "assistant" and not (takes.claude or Claude()).prefix:
        refuse_to_go_on(request.messages)
    own = {
        **_spoken(blocks.texts([*system, *tools.instructions(request)]), messages),
        "inferenceConfig": _inference(request, takes, wanted, ignored),
        "toolConfig": tools.tool_config(request, takes, ignored),
        "outputConfig": tools.output_config(request, takes, ignored),
        "additionalModelRequestFields": wanted.fields,
        "requestMetadata": _labels(request, ignored),
        "serviceTier": _tier(request, ignored),
    }
    _name_the_rest(request, ignored)
    sent = {name: value for name, value in own.items() if value}
    return orjson.dumps(_merged(extra_body, sent)), ignored.names()


def _spoken(system: blocks.Blocks, messages: list[dict[str, Any]]) -> dict[str, Any]:
    """Return `system` and `messages`, of which there has to be at least one."""
    if not messages:
        return {"messages": [{"role": "user", "content": system or [blocks.BLANK]}]}
    return {"system": system, "messages": messages}


def _inference(
    request: pb.ChatCompletionRequest, takes: Family, wanted: Reasoning, ignored: Ignored
) -> dict[str, Any]:
    found: dict[str, Any] = {}
    if request.HasField("max_tokens"):
        found["maxTokens"] = request.max_tokens
    found |= _sampling(request, takes, wanted, ignored)
    stops = [stop for stop in request.stop if stop.strip() or not takes.claude]
    ignored.add("stop", len(stops) < len(request.stop))
    if stops:
        found["stopSequences"] = stops
    return found


def _sampling(
    request: pb.ChatCompletionRequest, takes: Family, wanted: Reasoning, ignored: Ignored
) -> dict[str, Any]:
    found: dict[str, Any] = {}
    claude = takes.claude or Claude()
    unasked = 1 if takes.claude else None  # what either of them is when it is not sent
    taken = claude.sampling and not wanted.alone
    if request.HasField("temperature"):
        value = request.temperature
        if taken and not wanted.thinks:
            found["temperature"] = min(value, _MOST_TEMPERATURE)
        ignored.add("temperature", found.get("temperature", unasked) != value)
    if request.HasField("top_p"):
        value = request.top_p
        beside = claude.both_samplings or "temperature" not in found
        if taken and beside and (value >= _LEAST_TOP_P or not wanted.thinks):
            found["topP"] = value
        ignored.add("top_p", found.get("topP", unasked) != value)
    return found


def _labels(request: pb.ChatCompletionRequest, ignored: Ignored) -> dict[str, str]:
    found = {
        name: value
        for name, value in request.metadata.items()
        if name and _LABEL.fullmatch(name) and _LABEL.fullmatch(value)
    }
    ignored.add("metadata", len(found) < len(request.metadata))
    return found


def _tier(request: pb.ChatCompletionRequest, ignored: Ignored) -> dict[str, str]:
    tier = request.service_tier
    ignored.add("service_tier", tier not in ("", "auto", *_TIERS))
    return {"type": tier} if tier in _TIERS else {}


def _name_the_rest(request: pb.ChatCompletionRequest, ignored: Ignored) -> None:
    ignored.add("frequency_penalty", request.frequency_penalty != 0)
    ignored.add("presence_penalty", request.presence_penalty != 0)
    ignored.add("seed", request.HasField("seed"))
    ignored.add(
        "parallel_tool_calls",
        request.HasField("parallel_tool_calls") and not request.parallel_tool_calls,
    )
    ignored.add("logprobs", request.logprobs)
    ignored.add("top_logprobs", request.logprobs and request.HasField("top_logprobs"))
    ignored.add("logit_bias", bool(request.logit_bias))
    ignored.add("n", request.n > 1)
    ignored.add("prompt_cache_key", request.HasField("prompt_cache_key"))
    ignored.add("user", request.HasField("user"))
    ignored.add("chat_template_kwargs", request.HasField("chat_template_kwargs"))
    for message in request.messages:
        ignored.add("messages[].name", message.HasField("name"))
        for part in message.content:
            detail = part.image_url.detail
            ignored.add("messages[].content[].image_url.detail", detail not in ("", "auto"))


def _merged(extra_body: Mapping[str, Any], own: dict[str, Any]) -> dict[str, Any]:
    body = {**extra_body, **own}
    for name in extra_body.keys() & own.keys():
        if isinstance(extra_body[name], Mapping) and isinstance(own[name], dict):
            body[name] = {**extra_body[name], **own[name]}
    return body
