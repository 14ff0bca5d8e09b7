"""OpenAI's JSON as a ChatCompletionRequest, written apart from the gateway's own translation."""

from __future__ import annotations

import base64
import json
from collections.abc import Mapping
from typing import Any

from llmbase.v1 import chat_completion_pb2 as pb

_PLAIN = (
    "model",
    "temperature",
    "top_p",
    "max_tokens",
    "frequency_penalty",
    "presence_penalty",
    "seed",
    "parallel_tool_calls",
    "logprobs",
    "top_logprobs",
    "n",
    "prompt_cache_key",
    "user",
    "service_tier",
    "store",
    "idempotency_key",  # a header in REST
    "last_chunk_sequence",
)
_TEMPLATE = ("enable_thinking", "thinking", "preserve_thinking")


def proto_request(body: Mapping[str, Any]) -> pb.ChatCompletionRequest:
    """Translate a body whose fields have the right types; what REST alone has is left out."""
    body = {name: value for name, value in body.items() if value is not None}
    request = pb.ChatCompletionRequest(**{name: body[name] for name in _PLAIN if name in body})
    if "max_completion_tokens" in body:
        request.max_tokens = body["max_completion_tokens"]
    request.messages.extend(_message(message) for message in body.get("messages", ()))
    stop = body.get("stop", ())
    request.stop.extend([stop] if isinstance(stop, str) else stop)
    for tool in body.get("tools", ()):
        request.tools.append(pb.Tool(**_schema(tool["function"], "parameters")))
    _choose_tool(request, body.get("tool_choice"))
    _choose_format(request.response_format, body.get("response_format", {}))
    if "reasoning_effort" in body:
        name = f"REASONING_EFFORT_{body['reasoning_effort'].upper()}"
        request.reasoning_effort = pb.ReasoningEffort.Value(name)
    template = body.get("chat_template_kwargs") or body.get("extra_body.chat_template_kwargs") or {}
    for name in _TEMPLATE:
        if name in template:
            setattr(request.chat_template_kwargs, name, template[name])
    request.logit_bias.update(body.get("logit_bias", {}))
    request.metadata.update(body.get("metadata", {}))
    if "llmbase" in body:
        allowed = f"CONTINUATION_{body['llmbase']['continuation'].upper()}"
        request.llmbase.continuation = pb.ChatCompletionRequest.Continuation.Value(allowed)
    return request


def _message(message: Mapping[str, Any]) -> pb.Message:
    given = {name: value for name, value in message.items() if value is not None}
    plain = ("name", "tool_call_id", "reasoning_content", "refusal")
    result = pb.Message(**{name: given[name] for name in plain if name in given})
    if "role" in given:
        result.role = pb.Role.Value(f"ROLE_{given['role'].upper()}")
    content = given.get("content", [])
    parts = [{"type": "text", "text": content}] if isinstance(content, str) else content
    for part in parts:
        result.content.append(_part(part))
    for call in given.get("tool_calls", ()):
        function, state = call["function"], base64.b64decode(call.get("provider_state", ""))
        result.tool_calls.append(pb.ToolCall(id=call["id"], provider_state=state, **function))
    result.provider_state = base64.b64decode(given.get("provider_state", ""))
    return result


def _part(part: Mapping[str, Any]) -> pb.ContentPart:
    if part["type"] == "image_url":
        return pb.ContentPart(image_url=pb.ImageUrl(**part["image_url"]))
    if part["type"] == "refusal":
        return pb.ContentPart(refusal=part["refusal"])
    return pb.ContentPart(text=part["text"])


def _schema(named: Mapping[str, Any], field: str) -> dict[str, Any]:
    """The same fields, the JSON Schema among them as JSON text."""
    result = {name: value for name, value in named.items() if value is not None}
    if field in result:
        result[field] = json.dumps(result[field], ensure_ascii=False)
    return result


def _choose_tool(request: pb.ChatCompletionRequest, choice: Any) -> None:
    if isinstance(choice, str):
        request.tool_choice.mode = pb.ToolChoice.Mode.Value(f"MODE_{choice.upper()}")
    elif choice is not None:
        request.tool_choice.function = choice["function"]["name"]


def _choose_format(result: pb.ResponseFormat, form: Mapping[str, Any]) -> None:
    if form.get("type") == "json_object":
        result.json_object.SetInParent()
    elif form.get("type") == "json_schema":
        result.json_schema.CopyFrom(pb.JsonSchema(**_schema(form["json_schema"], "schema")))
