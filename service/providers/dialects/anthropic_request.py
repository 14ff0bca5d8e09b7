"""A request in our proto as the JSON body of the Messages API.

| field | what becomes of it |
|---|---|
| messages | turns that alternate; system and developer text goes to `system` |
| max_tokens | as it is; a default where absent, for the API wants one |
| temperature | at most 1; beside thinking, and to newer models, 1 or nothing |
| top_p | as it is; beside thinking from 0.95; not beside `temperature`, nor to newer models |
| stop | `stop_sequences`, without blank ones |
| tools, tool_choice, parallel_tool_calls, response_format | see anthropic_tools.py |
| reasoning_effort | see anthropic_reasoning.py |
| user | `metadata.user_id`; its hash if it is not opaque, for the API refuses e-mail addresses |
| service_tier | `auto`, `standard_only`; OpenAI's `priority` and `default` stand for these |

All others have no equal. What is left out or not wholly honoured is named, unless it asks for what
happens anyway.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from hashlib import blake2s
from typing import Any

import orjson
from llmbase.v1 import chat_completion_pb2 as pb

from service.providers.dialects import anthropic_tools as tools
from service.providers.dialects import anthropic_turns as blocks
from service.providers.dialects.anthropic_models import Claude, claude
from service.providers.dialects.anthropic_reasoning import Reasoning, reasoning
from service.providers.dialects.anthropic_tools import Ignored
from service.providers.dialects.turns import refuse_to_go_on, split_system, turns

_MOST_TEMPERATURE = 1.0
_LEAST_TOP_P = 0.95  # beside thinking
_OPAQUE = re.compile(r"(?=.*[A-Za-z])[A-Za-z0-9_.:-]{1,256}")
_TIERS = {
    "auto": "auto",
    "priority": "auto",
    "standard_only": "standard_only",
    "default": "standard_only",
}


def encode(
    request: pb.ChatCompletionRequest,
    model: str,
    default_max_tokens: int,
    extra_body: Mapping[str, Any],
    *,
    stream: bool,
) -> tuple[bytes, tuple[str, ...]]:
    """Return the body, and the names of the fields that could not be honoured.

    Raises InvalidRequest for an image that the API cannot take, and for an answer to be gone on
    with where the model does not.
    """
    ignored = Ignored()
    takes = claude(model)
    system, others = split_system(request.messages)
    conversation = turns(others)
    thinkable = not (tools.must_call(request, takes) or blocks.lacks_thoughts(conversation))
    thought = reasoning(request, takes, thinkable=thinkable)
    ignored.add("reasoning_effort", not thought.honoured)
    own: dict[str, Any] = {"model": model}
    if request.HasField("max_tokens"):
        own["max_tokens"] = request.max_tokens
    messages = blocks.messages(conversation, request.messages)
    if messages and messages[-1]["role"] == "assistant" and not takes.prefix:
        refuse_to_go_on(request.messages)
    own |= _spoken(blocks.texts([*system, *tools.instructions(request)]), messages)
    own |= _sampling(request, takes, thought, ignored)
    own |= tools.tools(request, takes, ignored)
    if thought.thinking:
        own["thinking"] = thought.thinking
    if output := tools.output_format(request, takes, ignored) | thought.output:
        own["output_config"] = output
    own |= _caller(request, ignored)
    if stream:
        own["stream"] = True
    _name_the_rest(request, ignored)
    limit = {"max_tokens": default_max_tokens + thought.room}
    return orjson.dumps({**limit, **extra_body, **own}), ignored.names()


def _spoken(system: blocks.Blocks, messages: list[dict[str, Any]]) -> dict[str, Any]:
    """Return `system` and `messages`, of which the API wants at least one message."""
    if not messages:
        return {"messages": [{"role": "user", "content": system}]}
    return {"system": system, "messages": messages} if system else {"messages": messages}


def _sampling(
    request: pb.ChatCompletionRequest, takes: Claude, thought: Reasoning, ignored: Ignored
) -> dict[str, Any]:
    found: dict[str, Any] = {}
    if request.HasField("temperature"):
        wanted = request.temperature
        if takes.sampling and not thought.thinks:
            found["temperature"] = min(wanted, _MOST_TEMPERATURE)
        ignored.add("temperature", found.get("temperature", _MOST_TEMPERATURE) != wanted)
    if request.HasField("top_p"):
        wanted = request.top_p
        alone = takes.both_samplings or "temperature" not in found
        if takes.sampling and alone and (wanted >= _LEAST_TOP_P or not thought.thinks):
            found["top_p"] = wanted
        ignored.add("top_p", found.get("top_p", 1) != wanted)
    if stops := [stop for stop in request.stop if stop.strip()]:
        found["stop_sequences"] = stops
    ignored.add("stop", len(stops) < len(request.stop))
    return found


def _caller(request: pb.ChatCompletionRequest, ignored: Ignored) -> dict[str, Any]:
    found: dict[str, Any] = {}
    if user := request.user:
        opaque = user if _OPAQUE.fullmatch(user) else blake2s(user.encode()).hexdigest()
        found["metadata"] = {"user_id": opaque}
    if tier := _TIERS.get(request.service_tier):
        found["service_tier"] = tier
    ignored.add("service_tier", bool(request.service_tier) and not tier)
    return found


def _name_the_rest(request: pb.ChatCompletionRequest, ignored: Ignored) -> None:
    ignored.add("frequency_penalty", request.frequency_penalty != 0)
    ignored.add("presence_penalty", request.presence_penalty != 0)
    ignored.add("seed", request.HasField("seed"))
    ignored.add("logprobs", request.logprobs)
    ignored.add("top_logprobs", request.logprobs and request.HasField("top_logprobs"))
    ignored.add("logit_bias", bool(request.logit_bias))
    ignored.add("n", request.n > 1)
    ignored.add("prompt_cache_key", request.HasField("prompt_cache_key"))
    ignored.add("chat_template_kwargs", request.HasField("chat_template_kwargs"))
    ignored.add("metadata", bool(request.metadata))
    for message in request.messages:
        ignored.add("messages[].name", message.HasField("name"))
        for part in message.content:
            detail = part.image_url.detail
            ignored.add("messages[].content[].image_url.detail", detail not in ("", "auto"))
