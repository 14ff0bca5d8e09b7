"""A request in our proto as the JSON body of generateContent.

Absent is not sent. JSON that the caller gave as text goes in as it is: schemas through the fields
that take JSON Schema (`parametersJsonSchema`, `responseJsonSchema`), not the older ones that take a
dialect of OpenAPI.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Any

import orjson
from llmbase.v1 import chat_completion_pb2 as pb

from service.providers.dialects import gemini_schema, gemini_thinking
from service.providers.dialects.gemini_contents import Conversation

_SAMPLING = {
    "temperature": "temperature",
    "top_p": "topP",
    "max_tokens": "maxOutputTokens",
    "frequency_penalty": "frequencyPenalty",
    "presence_penalty": "presencePenalty",
}
_MODES = {
    pb.ToolChoice.MODE_AUTO: "AUTO",
    pb.ToolChoice.MODE_NONE: "NONE",
    pb.ToolChoice.MODE_REQUIRED: "ANY",
}
# OpenAI's words for what is not worth a word here ("") or has another one.
_TIERS = {"auto": "", "default": "standard"}
_SEED_BITS = 2**31 - 1  # Google's seed is an int32
# What describes no arguments must be left out: an object without a type is refused.
_SAYS_NOTHING = re.compile(r"\s*(?:\{\s*\})?\s*")


def encode(
    request: pb.ChatCompletionRequest, model: str, *, vertex: bool, extra_body: Mapping[str, Any]
) -> bytes:
    """Return the body. The request has been checked: its schemas are JSON. Raises InvalidRequest.

    Calls and their results carry ids but for Vertex AI, whose v1 has no such field.
    """
    body = Conversation(
        request.messages,
        with_ids=not vertex,
        with_signatures=gemini_thinking.wants_signatures(model),
    ).encode()
    body.update(_tools(request))
    if config := _generation_config(request, model):
        body["generationConfig"] = config
    if not vertex and (tier := _TIERS.get(request.service_tier, request.service_tier)):
        body["serviceTier"] = tier
    return orjson.dumps(_merged(extra_body, body))


def ignored(request: pb.ChatCompletionRequest, model: str, *, vertex: bool) -> Iterator[str]:
    """Yield the fields of a request that Gemini has nothing for, by their names in REST.

    A `strict` tool is among them: its arguments follow the schema, but nobody promises it.
    """
    for name in ("prompt_cache_key", "user", "chat_template_kwargs"):
        if request.HasField(name):
            yield name
    for name in ("logit_bias", "metadata"):
        if getattr(request, name):
            yield name
    if request.HasField("parallel_tool_calls") and not request.parallel_tool_calls:
        yield "parallel_tool_calls"
    if request.reasoning_effort and gemini_thinking.config(model, request.reasoning_effort) is None:
        yield "reasoning_effort"
    if vertex and request.service_tier not in ("", "auto", "default"):
        yield "service_tier"
    if any(tool.strict for tool in request.tools):
        yield "tools[].function.strict"
    if any(message.name and message.role != pb.ROLE_TOOL for message in request.messages):
        yield "messages[].name"
    if any(
        part.image_url.detail not in ("", "auto")
        for message in request.messages
        for part in message.content
    ):
        yield "messages[].content[].image_url.detail"


def _generation_config(request: pb.ChatCompletionRequest, model: str) -> dict[str, Any]:
    config = {
        theirs: getattr(request, ours)
        for ours, theirs in _SAMPLING.items()
        if request.HasField(ours)  # type: ignore[arg-type]
    }
    if request.stop:
        config["stopSequences"] = list(request.stop)
    if request.HasField("seed"):
        # A seed of more bits is as good as any other that always follows from it.
        config["seed"] = request.seed & _SEED_BITS
    if request.n > 1:
        config["candidateCount"] = request.n
    if request.logprobs:
        config["responseLogprobs"] = True
        if request.top_logprobs:
            config["logprobs"] = request.top_logprobs
    config.update(_response_format(request.response_format))
    if thinking := gemini_thinking.config(model, request.reasoning_effort):
        config["thinkingConfig"] = thinking
    return config


def _response_format(form: pb.ResponseFormat) -> dict[str, Any]:
    kind = form.WhichOneof("format")
    if kind is None:
        return {}
    found: dict[str, Any] = {"responseMimeType": "application/json"}
    if kind == "json_schema" and form.json_schema.HasField("schema"):
        found["responseJsonSchema"] = _schema(form.json_schema.schema)
    return found


def _tools(request: pb.ChatCompletionRequest) -> dict[str, Any]:
    """Return the functions, all in one tool, and the choice; a choice without functions is refused.

    For a choice of one function the model must call any of those allowed, which is that one.
    """
    if not request.tools:
        return {}
    found: dict[str, Any] = {
        "tools": [{"functionDeclarations": [_declaration(tool) for tool in request.tools]}]
    }
    choice = request.tool_choice
    calling: dict[str, Any] = {}
    if choice.WhichOneof("choice") == "function":
        calling = {"mode": "ANY", "allowedFunctionNames": [choice.function]}
    elif choice.mode in _MODES:
        calling = {"mode": _MODES[choice.mode]}
    if calling:
        found["toolConfig"] = {"functionCallingConfig": calling}
    return found


def _declaration(tool: pb.Tool) -> dict[str, Any]:
    found: dict[str, Any] = {"name": tool.name}
    if tool.HasField("description"):
        found["description"] = tool.description
    if not _SAYS_NOTHING.fullmatch(tool.parameters):
        found["parametersJsonSchema"] = _schema(tool.parameters)
    return found


def _schema(text: str) -> orjson.Fragment:
    return orjson.Fragment(gemini_schema.rewrite(text))


def _merged(extra: Mapping[str, Any], own: dict[str, Any]) -> dict[str, Any]:
    """Return both, objects merged key by key; where they differ the request's own value wins."""
    found = {**extra, **own}
    for key, value in extra.items():
        if isinstance(value, Mapping) and isinstance(own.get(key), dict):
            found[key] = _merged(value, own[key])
    return found
