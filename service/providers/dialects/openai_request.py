"""A request in our proto as the JSON body of OpenAI's chat completions.

Absent is not sent. JSON that the caller gave as text (schemas) goes in character for character.
"""

from __future__ import annotations

from typing import Any

import orjson
from llmbase.v1 import chat_completion_pb2 as pb

from service.providers.dialects import openai_messages
from service.providers.dialects import openai_models as models
from service.providers.dialects.openai_messages import present
from service.providers.dialects.openai_spelling import Spelling
from service.providers.seen import Seen

# Fields whose name and value are the same on both sides. `store` is not among the fields at all:
# the API accepts it and promises to do nothing about it.
_AS_THEY_ARE = frozenset(
    {
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
    }
)
_SEED_BITS = 2**63 - 1
_TEMPLATE_SWITCHES = ("enable_thinking", "thinking", "preserve_thinking")
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


def encode(
    seen: Seen, model: str, spelling: Spelling, *, stream: bool
) -> tuple[bytes, tuple[str, ...]]:
    """Return the body and the names of the fields that were left out.

    The request has been checked: its schemas are JSON.
    """
    fields = _fields(seen, spelling)
    ignored: tuple[str, ...] = ()
    if spelling.openai_models:
        ignored = models.take_out(fields, model, seen.request.reasoning_effort)
    if spelling.unsupported:
        ignored += tuple(name for name in fields if name in spelling.unsupported)
    # The caller's labels are for the caller: OpenAI takes them only with answers that it stores.
    if "metadata" in seen.given:
        ignored += ("metadata",)
    for name in ignored:
        fields.pop(name, None)
    ignored += _lost(seen, fields, spelling)
    if "max_tokens" in fields:
        fields[spelling.max_tokens] = fields.pop("max_tokens")
    if "seed" in fields:
        seed = fields.pop("seed")
        # Any seed is as good as another that always follows from it.
        fields[spelling.seed] = seed if spelling.signed_seeds else seed & _SEED_BITS
    messages = openai_messages.messages(seen, spelling)
    body = {**spelling.extra_body, "model": model, "messages": messages, **fields}
    if stream:
        body["stream"] = True
        if spelling.asks_for_usage:
            body["stream_options"] = {"include_usage": True}
    return orjson.dumps(body), ignored


def _lost(seen: Seen, fields: dict[str, Any], spelling: Spelling) -> tuple[str, ...]:
    """Bring fields within what is taken, and name what is lost by it, and in the messages."""
    lost: tuple[str, ...] = ()
    most = spelling.most_temperature
    if most is not None and fields.get("temperature", 0) > most:
        fields["temperature"] = most
        lost += ("temperature",)
    if not spelling.names and any(
        it.given.get("name") for it in seen.others if it.role != pb.ROLE_TOOL
    ):
        lost += ("messages[].name",)
    return lost


def _fields(seen: Seen, spelling: Spelling) -> dict[str, Any]:
    """Return all fields but the messages, by OpenAI's names."""
    given = seen.given
    found = {name: value for name, value in given.items() if name in _AS_THEY_ARE}
    if "stop" in given:
        found["stop"] = list(given["stop"])
    if "logit_bias" in given:
        found["logit_bias"] = dict(given["logit_bias"])
    if given.get("reasoning_effort") in _EFFORTS:
        found["reasoning_effort"] = _EFFORTS[given["reasoning_effort"]]
    if "chat_template_kwargs" in given:
        found["chat_template_kwargs"] = present(given["chat_template_kwargs"], _TEMPLATE_SWITCHES)
    if "tools" in given:
        found["tools"] = _tools(seen, spelling)
    if "tool_choice" in given:
        found.update(_tool_choice(given["tool_choice"], spelling))
    if "response_format" in given:
        found.update(_response_format(given["response_format"]))
    return found


def _tool_choice(choice: pb.ToolChoice, spelling: Spelling) -> dict[str, Any]:
    if choice.WhichOneof("choice") == "function":
        return {"tool_choice": {"type": "function", "function": {"name": choice.function}}}
    if choice.mode == pb.ToolChoice.MODE_REQUIRED:
        return {"tool_choice": spelling.required}
    return {"tool_choice": _MODES[choice.mode]} if choice.mode in _MODES else {}


def _tools(seen: Seen, spelling: Spelling) -> orjson.Fragment:
    """Return the tools as JSON: mostly, as another call with the same ones had them."""
    if (written := seen.tools.written(spelling.parameters)) is not None:
        return written
    tools = [_tool(tool, spelling) for tool in seen.given["tools"]]
    return seen.tools.keep(spelling.parameters, orjson.dumps(tools))


def _tool(tool: pb.Tool, spelling: Spelling) -> dict[str, Any]:
    function: dict[str, Any] = {"name": tool.name}
    # What is not empty is there: asking whether it is costs as much as the text.
    if (description := tool.description) or tool.HasField("description"):
        function["description"] = description
    if tool.HasField("strict"):
        function["strict"] = tool.strict
    parameters: str | None = tool.parameters
    if not parameters and not tool.HasField("parameters"):
        parameters = spelling.parameters
    if parameters is not None:
        function["parameters"] = orjson.Fragment(parameters)
    return {"type": "function", "function": function}


def _response_format(form: pb.ResponseFormat) -> dict[str, Any]:
    kind = form.WhichOneof("format")
    if kind is None:
        return {}
    if kind == "json_object":
        return {"response_format": {"type": "json_object"}}
    given = form.json_schema
    schema = {"name": given.name, **present(given, ("description", "strict"))}
    if given.HasField("schema"):
        schema["schema"] = orjson.Fragment(given.schema)
    return {"response_format": {"type": "json_schema", "json_schema": schema}}
