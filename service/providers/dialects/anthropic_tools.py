"""Tools, tool choice and the answer's form in the Messages API.

`required` is `any`, and a model that takes no demand for a call is left to decide. A conversation
that holds calls but offers no tools says what was called, and that nothing more may be: the API
wants calls to be of something. `json_schema` is the API's own structured output; `json_object` has
no equal, so it is asked for in words, not enforced, and named.
"""

from __future__ import annotations

from typing import Any

import orjson
from llmbase.v1 import chat_completion_pb2 as pb

from service.providers.dialects import anthropic_schema as schema
from service.providers.dialects.anthropic_models import Claude

_JSON_ONLY = "Answer with one JSON object and nothing else: no other text, no code fence."


class Ignored:
    """The names of what could not be honoured, in order, each once."""

    def __init__(self) -> None:
        self._names: dict[str, None] = {}

    def add(self, name: str, is_so: bool = True) -> None:
        """Add a name, if it is so."""
        if is_so:
            self._names[name] = None

    def names(self) -> tuple[str, ...]:
        """Return the names."""
        return tuple(self._names)


def demands_call(request: pb.ChatCompletionRequest) -> bool:
    """Whether the model must call a tool."""
    choice = request.tool_choice
    return bool(choice.function) or choice.mode == pb.ToolChoice.MODE_REQUIRED


def tools(request: pb.ChatCompletionRequest, takes: Claude, ignored: Ignored) -> dict[str, Any]:
    """Return `tools` and `tool_choice`, as far as there is something to say."""
    if not request.tools:
        return _tools_called(request)
    found: dict[str, Any] = {"tools": [_tool(tool, ignored) for tool in request.tools]}
    choice = _choice(request, takes, ignored)
    if request.HasField("parallel_tool_calls") and not request.parallel_tool_calls:
        choice = choice or {"type": "auto"}
        if choice["type"] != "none":
            choice["disable_parallel_tool_use"] = True
    if choice:
        found["tool_choice"] = choice
    return found


def output_format(request: pb.ChatCompletionRequest, ignored: Ignored) -> dict[str, Any]:
    """Return the `format` of `output_config`, if the answer's form can be enforced."""
    form = request.response_format
    if not form.json_schema.HasField("schema"):
        ignored.add("response_format", form.WhichOneof("format") is not None)
        return {}
    rewritten = schema.rewrite(form.json_schema.schema)
    ignored.add(
        "response_format.json_schema.strict", form.json_schema.strict and not rewritten.whole
    )
    return {"format": {"type": "json_schema", "schema": orjson.Fragment(rewritten.text)}}


def instructions(request: pb.ChatCompletionRequest) -> list[str]:
    """Return what has to be said to the model about the answer's form."""
    form = request.response_format
    wanted = form.WhichOneof("format") is not None and not form.json_schema.HasField("schema")
    return [_JSON_ONLY] if wanted else []


def _tool(tool: pb.Tool, ignored: Ignored) -> dict[str, Any]:
    found: dict[str, Any] = {"name": tool.name}
    if tool.HasField("description"):
        found["description"] = tool.description
    parameters = schema.typed_object(tool.parameters or "{}")
    if tool.strict:
        parameters, whole = schema.rewrite(parameters)
        ignored.add("tools[].function.strict", not whole)
        found["strict"] = True
    found["input_schema"] = orjson.Fragment(parameters)
    return found


def _choice(request: pb.ChatCompletionRequest, takes: Claude, ignored: Ignored) -> dict[str, Any]:
    choice = request.tool_choice
    if demands_call(request) and not takes.forced_tools:
        ignored.add("tool_choice")
        return {"type": "auto"}
    if choice.function:
        return {"type": "tool", "name": choice.function}
    match choice.mode:
        case pb.ToolChoice.MODE_AUTO:
            return {"type": "auto"}
        case pb.ToolChoice.MODE_NONE:
            return {"type": "none"}
        case pb.ToolChoice.MODE_REQUIRED:
            return {"type": "any"}
    return {}


def _tools_called(request: pb.ChatCompletionRequest) -> dict[str, Any]:
    names = {call.name: None for message in request.messages for call in message.tool_calls}
    if not names:
        return {}
    return {
        "tools": [{"name": name, "input_schema": {"type": "object"}} for name in names],
        "tool_choice": {"type": "none"},
    }
