"""Tools, tool choice and the answer's form in the Messages API.

`required` is `any`, and a model that takes no demand for a call is left to decide. A conversation
that holds calls but offers no tools says what was called, and that nothing more may be: the API
wants calls to be of something. `json_schema` is the API's own structured output; a model that has
none gets a tool whose arguments are the answer, and must call: it, or one of the caller's.
`json_object` has no equal, so it is asked for in words, not enforced, and named.
"""

from __future__ import annotations

from typing import Any

import orjson
from llmbase.v1 import chat_completion_pb2 as pb

from service.providers.dialects import anthropic_schema as schema
from service.providers.dialects.answer_tool import ANSWER_TOOL, description
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
    """Whether the caller wants one of its tools to be called."""
    choice = request.tool_choice
    return bool(choice.function) or choice.mode == pb.ToolChoice.MODE_REQUIRED


def answers_by_call(request: pb.ChatCompletionRequest, takes: Claude) -> bool:
    """Whether the model gives its answer by a call."""
    wanted = request.response_format.json_schema.HasField("schema")
    return wanted and not takes.schemas and not request.tool_choice.function


def must_call(request: pb.ChatCompletionRequest, takes: Claude) -> bool:
    """Whether the model must call a tool."""
    return demands_call(request) or answers_by_call(request, takes)


def tools(request: pb.ChatCompletionRequest, takes: Claude, ignored: Ignored) -> dict[str, Any]:
    """Return `tools` and `tool_choice`, as far as there is something to say."""
    if answers_by_call(request, takes):
        return _answer_tools(request, takes, ignored)
    if not request.tools:
        return _tools_called(request)
    found: dict[str, Any] = {"tools": [_tool(tool, takes, ignored) for tool in request.tools]}
    choice = _choice(request, takes, ignored)
    if request.HasField("parallel_tool_calls") and not request.parallel_tool_calls:
        choice = choice or {"type": "auto"}
        if choice["type"] != "none":
            choice["disable_parallel_tool_use"] = True
    if choice:
        found["tool_choice"] = choice
    return found


def output_format(
    request: pb.ChatCompletionRequest, takes: Claude, ignored: Ignored
) -> dict[str, Any]:
    """Return the `format` of `output_config`, if the text's form can be enforced."""
    form = request.response_format
    if answers_by_call(request, takes):
        return {}
    if not form.json_schema.HasField("schema") or not takes.schemas:
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


def _answer_tools(
    request: pb.ChatCompletionRequest, takes: Claude, ignored: Ignored
) -> dict[str, Any]:
    """Return the tool that answers, beside the caller's as far as these may be called."""
    wanted = request.response_format.json_schema
    answer = {
        "name": ANSWER_TOOL,
        "description": description(wanted),
        "input_schema": orjson.Fragment(schema.typed_object(wanted.schema)),
    }
    forbidden = request.tool_choice.mode == pb.ToolChoice.MODE_NONE
    own = [] if forbidden else [_tool(tool, takes, ignored) for tool in request.tools]
    choice: dict[str, Any] = {"type": "any"} if own else {"type": "tool", "name": ANSWER_TOOL}
    one = request.HasField("parallel_tool_calls") and not request.parallel_tool_calls
    if one or not own:  # two answers would be none
        choice["disable_parallel_tool_use"] = True
    return {"tools": [*own, answer], "tool_choice": choice}


def _tool(tool: pb.Tool, takes: Claude, ignored: Ignored) -> dict[str, Any]:
    found: dict[str, Any] = {"name": tool.name}
    if tool.HasField("description"):
        found["description"] = tool.description
    parameters = schema.typed_object(tool.parameters or "{}")
    if tool.strict and takes.schemas:
        parameters, whole = schema.rewrite(parameters)
        ignored.add("tools[].function.strict", not whole)
        found["strict"] = True
    else:
        ignored.add("tools[].function.strict", tool.strict)
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
