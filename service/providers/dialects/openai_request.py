"""A request in our proto as the JSON body of OpenAI's chat completions.

Absent is not sent. JSON that the caller gave as text (schemas) and opaque provider state go in
character for character.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import orjson
from llmbase.v1 import chat_completion_pb2 as pb

from service.providers.dialects import openai_state as state

# Fields whose name and value are the same on both sides. `store` is not among the fields at all:
# the API accepts it and promises to do nothing about it.
_AS_THEY_ARE = frozenset(
    (
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
    )
)
_TEMPLATE_SWITCHES = ("enable_thinking", "thinking", "preserve_thinking")
_ROLES = {number: name.removeprefix("ROLE_").lower() for name, number in pb.Role.items()}
_CONTENT = pb.Message.DESCRIPTOR.fields_by_name["content"]
_MODES = {
    pb.ToolChoice.MODE_AUTO: "auto",
    pb.ToolChoice.MODE_NONE: "none",
}
_EFFORTS = {
    pb.REASONING_EFFORT_NONE: "none",
    pb.REASONING_EFFORT_MINIMAL: "minimal",
    pb.REASONING_EFFORT_LOW: "low",
    pb.REASONING_EFFORT_MEDIUM: "medium",
    pb.REASONING_EFFORT_HIGH: "high",
    pb.REASONING_EFFORT_XHIGH: "xhigh",
    pb.REASONING_EFFORT_MAX: "max",
}


@dataclass(frozen=True, slots=True)
class Spelling:
    """Where compatible providers differ in what they take.

    `max_tokens` and `seed` are the names of those fields, `required` the word for a tool choice
    that demands a call. `reasoning` is the field in which an earlier answer's reasoning goes back,
    "" for none. `developer` is the role that stands for developer. `unsupported` are fields that
    the provider refuses or does nothing about: they are left out. `asks_for_usage` says whether
    usage in streams has to be asked for; `prefix` whether an assistant's message that is to be
    continued has to be marked; `call_id` makes ids of calls that the provider takes. `extra_body`
    is added to every body; the request's own fields win.
    """

    max_tokens: str = "max_tokens"
    reasoning: str = "reasoning_content"
    developer: str = "system"
    seed: str = "seed"
    required: str = "required"
    unsupported: frozenset[str] = frozenset()
    asks_for_usage: bool = True
    prefix: bool = False
    call_id: Callable[[str], str] = str
    extra_body: Mapping[str, Any] = field(default_factory=dict)


def encode(
    request: pb.ChatCompletionRequest, model: str, spelling: Spelling, *, stream: bool
) -> tuple[bytes, tuple[str, ...]]:
    """Return the body and the names of the fields that were left out.

    The request has been checked: its schemas are JSON.
    """
    fields = _fields(request, spelling)
    ignored = tuple(name for name in fields if name in spelling.unsupported)
    # The caller's labels are for the caller: OpenAI takes them only with answers that it stores.
    if request.metadata:
        ignored += ("metadata",)
    for name in ignored:
        fields.pop(name, None)
    if "max_tokens" in fields:
        fields[spelling.max_tokens] = fields.pop("max_tokens")
    if "seed" in fields:
        fields[spelling.seed] = fields.pop("seed")
    messages = [_message(message, spelling) for message in request.messages]
    if spelling.prefix and messages[-1]["role"] == "assistant":
        messages[-1]["prefix"] = True
    body = {**spelling.extra_body, "model": model, "messages": messages, **fields}
    if stream:
        body["stream"] = True
        if spelling.asks_for_usage:
            body["stream_options"] = {"include_usage": True}
    return orjson.dumps(body), ignored


def _fields(request: pb.ChatCompletionRequest, spelling: Spelling) -> dict[str, Any]:
    """Return all fields but the messages, by OpenAI's names."""
    found = {
        field.name: value
        for field, value in request.ListFields()  # what is there, at one look
        if field.name in _AS_THEY_ARE
    }
    if request.stop:
        found["stop"] = list(request.stop)
    if request.logit_bias:
        found["logit_bias"] = dict(request.logit_bias)
    if request.reasoning_effort in _EFFORTS:
        found["reasoning_effort"] = _EFFORTS[request.reasoning_effort]
    if request.HasField("chat_template_kwargs"):
        found["chat_template_kwargs"] = _present(request.chat_template_kwargs, _TEMPLATE_SWITCHES)
    found.update(_tools(request, spelling))
    found.update(_response_format(request))
    return found


def _tools(request: pb.ChatCompletionRequest, spelling: Spelling) -> dict[str, Any]:
    found: dict[str, Any] = {}
    if request.tools:
        found["tools"] = [{"type": "function", "function": _tool(tool)} for tool in request.tools]
    choice = request.tool_choice
    if choice.WhichOneof("choice") == "function":
        found["tool_choice"] = {"type": "function", "function": {"name": choice.function}}
    elif choice.mode == pb.ToolChoice.MODE_REQUIRED:
        found["tool_choice"] = spelling.required
    elif choice.mode in _MODES:
        found["tool_choice"] = _MODES[choice.mode]
    return found


def _tool(tool: pb.Tool) -> dict[str, Any]:
    function: dict[str, Any] = {"name": tool.name}
    if tool.HasField("description"):
        function["description"] = tool.description
    if tool.HasField("strict"):
        function["strict"] = tool.strict
    if tool.HasField("parameters"):
        function["parameters"] = orjson.Fragment(tool.parameters)
    return function


def _response_format(request: pb.ChatCompletionRequest) -> dict[str, Any]:
    kind = request.response_format.WhichOneof("format")
    if kind is None:
        return {}
    if kind == "json_object":
        return {"response_format": {"type": "json_object"}}
    given = request.response_format.json_schema
    schema = {"name": given.name, **_present(given, ("description", "strict"))}
    if given.HasField("schema"):
        schema["schema"] = orjson.Fragment(given.schema)
    return {"response_format": {"type": "json_schema", "json_schema": schema}}


def _message(message: pb.Message, spelling: Spelling) -> dict[str, Any]:
    role = spelling.developer if message.role == pb.ROLE_DEVELOPER else _ROLES[message.role]
    found: dict[str, Any] = {"role": role, "content": _content(message.content)}
    fields = message.ListFields()
    if len(fields) == 2 and fields[1][0] is _CONTENT:  # words and nothing else, as nearly always
        return found
    if message.HasField("name"):
        found["name"] = message.name
    if message.HasField("refusal"):
        found["refusal"] = message.refusal
    if message.HasField("tool_call_id"):
        found["tool_call_id"] = spelling.call_id(message.tool_call_id)
    if message.tool_calls:
        found["tool_calls"] = [_call(call, spelling) for call in message.tool_calls]
    if spelling.reasoning and message.HasField("reasoning_content"):
        found[spelling.reasoning] = message.reasoning_content
    if message.provider_state:
        found.update(state.fields(message.provider_state))
    return found


def _content(parts: Sequence[pb.ContentPart]) -> str | list[dict[str, Any]] | None:
    """Return content in its shortest form: null for none, a string for a single text."""
    if len(parts) == 1 and parts[0].HasField("text"):
        return parts[0].text
    return [_part(part) for part in parts] or None


def _part(part: pb.ContentPart) -> dict[str, Any]:
    match part.WhichOneof("part"):
        case "image_url":
            image = part.image_url
            return {
                "type": "image_url",
                "image_url": {"url": image.url, **_present(image, ("detail",))},
            }
        case "refusal":
            return {"type": "refusal", "refusal": part.refusal}
        case _:
            return {"type": "text", "text": part.text}


def _call(call: pb.ToolCall, spelling: Spelling) -> dict[str, Any]:
    function = {"name": call.name, "arguments": call.arguments}
    found: dict[str, Any] = {"id": spelling.call_id(call.id), "type": "function"}
    found["function"] = function
    if call.provider_state:
        found.update(state.fields(call.provider_state))
    return found


def _present(message: Any, names: Iterable[str]) -> dict[str, Any]:
    """Return the optional fields that are set, by their own names."""
    return {name: getattr(message, name) for name in names if message.HasField(name)}
