"""Tools, tool choice and the answer's form in Converse.

Calls cannot be forbidden: tools that must not be called are left out. But a conversation that holds
calls has to offer tools, so then they stay, and the choice is named. A model whose text cannot be
held to a schema gets a tool whose arguments are the answer, and must call: it, or one of the
caller's. `json_object` has no equal, so it is asked for in words, not enforced, and named.
"""

from __future__ import annotations

from typing import Any

import orjson
from llmbase.v1 import chat_completion_pb2 as pb

from service.providers.dialects import anthropic_schema as schema
from service.providers.dialects.answer_tool import ANSWER_TOOL, description
from service.providers.dialects.anthropic_tools import Ignored, demands_call
from service.providers.dialects.bedrock_models import Family

_JSON_ONLY = "Your whole answer must be one JSON object, without any text or code fence around it."


def answers_by_call(request: pb.ChatCompletionRequest, family: Family) -> bool:
    """Whether the model gives its answer by a call."""
    wanted = request.response_format.json_schema.HasField("schema")
    return wanted and not family.schemas and not request.tool_choice.function


def must_call(request: pb.ChatCompletionRequest, family: Family) -> bool:
    """Whether the model must call a tool."""
    return demands_call(request) or answers_by_call(request, family)


def instructions(request: pb.ChatCompletionRequest) -> list[str]:
    """Return what has to be said to the model about the answer's form."""
    form = request.response_format
    wanted = form.WhichOneof("format") is not None and not form.json_schema.HasField("schema")
    return [_JSON_ONLY] if wanted else []


def tool_config(
    request: pb.ChatCompletionRequest, family: Family, ignored: Ignored
) -> dict[str, Any]:
    """Return `toolConfig`, empty where no tools have to be offered."""
    by_call = answers_by_call(request, family)
    tools = [_tool(tool, family, ignored) for tool in _offered(request, by_call, ignored)]
    choice = _choice(request, family, ignored)
    if by_call:
        choice = {"any": {}} if tools else {"tool": {"name": ANSWER_TOOL}}
        tools.append(_answer_tool(request.response_format.json_schema))
    if not tools:
        return {}
    return {"tools": tools, "toolChoice": choice} if choice else {"tools": tools}


def output_config(
    request: pb.ChatCompletionRequest, family: Family, ignored: Ignored
) -> dict[str, Any]:
    """Return `outputConfig`, empty unless the model's text can be held to what is asked for."""
    form = request.response_format
    given = form.json_schema
    if answers_by_call(request, family):
        return {}
    if not given.HasField("schema") or not family.schemas:
        ignored.add("response_format", form.WhichOneof("format") is not None)
        return {}
    text, whole = schema.rewrite(given.schema)
    ignored.add("response_format.json_schema.strict", given.strict and not whole)
    found = {"schema": text, "name": given.name}
    if given.description.strip():
        found["description"] = given.description
    return {"textFormat": {"type": "json_schema", "structure": {"jsonSchema": found}}}


def _offered(request: pb.ChatCompletionRequest, by_call: bool, ignored: Ignored) -> list[pb.Tool]:
    """Return the caller's tools as far as they are offered, or what was called before them."""
    called = dict.fromkeys(call.name for m in request.messages for call in m.tool_calls)
    if request.tool_choice.mode == pb.ToolChoice.MODE_NONE:
        if by_call or not called:
            return []
        ignored.add("tool_choice")
    if request.tools or by_call:
        return list(request.tools)
    return [pb.Tool(name=name) for name in called]


def _choice(request: pb.ChatCompletionRequest, family: Family, ignored: Ignored) -> dict[str, Any]:
    """Return the choice where it is not automatic, for not every model takes one."""
    if not demands_call(request):
        return {}
    if family.claude and not family.claude.forced_tools:
        ignored.add("tool_choice")
        return {}
    named = request.tool_choice.function
    return {"tool": {"name": named}} if named else {"any": {}}


def _tool(tool: pb.Tool, family: Family, ignored: Ignored) -> dict[str, Any]:
    found: dict[str, Any] = {"name": tool.name}
    if tool.description.strip():
        found["description"] = tool.description
    parameters = schema.typed_object(tool.parameters or "{}")
    if tool.strict and family.strict:
        parameters, whole = schema.rewrite(parameters)
        ignored.add("tools[].function.strict", not whole)
        found["strict"] = True
    else:
        ignored.add("tools[].function.strict", tool.strict)
    found["inputSchema"] = {"json": orjson.Fragment(parameters)}
    return {"toolSpec": found}


def _answer_tool(wanted: pb.JsonSchema) -> dict[str, Any]:
    found = {
        "name": ANSWER_TOOL,
        "description": description(wanted),
        "inputSchema": {"json": orjson.Fragment(schema.typed_object(wanted.schema))},
    }
    return {"toolSpec": found}
