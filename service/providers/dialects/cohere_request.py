"""A request in our proto as the JSON body of Cohere's chat.

| field | what becomes of it |
|---|---|
| messages | system and developer text first, as one message; see below |
| temperature | at most 1 |
| top_p | `p`, from 0.01 to 0.99: what is beyond has the nearest value, which is as good |
| max_tokens | as it is |
| stop | `stop_sequences` |
| seed | as it is, of which 63 bits count: negative ones are not taken |
| frequency_penalty, presence_penalty | from 0 to 1, and one of them at most: the first |
| tools, tool_choice | as they are; a named one is the only one offered, and a call is demanded |
| strict in tools | `strict_tools`, where all are strict |
| response_format | `json_object`, the schema to the letter; not beside tools that may be called |
| reasoning_effort, chat_template_kwargs | `thinking`, with a budget of tokens |
| logprobs | as it is; alternatives are not to be had |

All others have no equal. What is left out or not wholly honoured is named, unless it asks for what
happens anyway.

| reasoning_effort | budget |
|---|---|
| absent | nothing is sent: models that reason do so as long as they want |
| none | thinking is turned off |
| minimal, low, medium, high | 1,024, 4,096, 8,192 and 16,384 tokens; at most half of `max_tokens` |
| xhigh, max | none: as long as the model wants |
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import orjson
from llmbase.v1 import chat_completion_pb2 as pb

from service.providers.dialects import cohere_messages, unmapped
from service.providers.dialects.thinking import wants_thinking

_MOST_TEMPERATURE = 1.0
_LEAST_P, _MOST_P = 0.01, 0.99
_MOST_PENALTY = 1.0
_SEED_BITS = 2**63 - 1
_BUDGETS = {
    pb.REASONING_EFFORT_MINIMAL: 1024,
    pb.REASONING_EFFORT_LOW: 4096,
    pb.REASONING_EFFORT_MEDIUM: 8192,
    pb.REASONING_EFFORT_HIGH: 16384,
}


def encode(
    request: pb.ChatCompletionRequest, model: str, extra_body: Mapping[str, Any], *, stream: bool
) -> bytes:
    """Return the body. The request has been checked: its schemas are JSON.

    `extra_body` is merged in; the request's own fields win.
    """
    body = {
        "model": model,
        "messages": cohere_messages.messages(request.messages),
        "stream": stream,
        **_sampling(request),
        **_tools(request),
    }
    if request.HasField("max_tokens"):
        body["max_tokens"] = request.max_tokens
    if request.stop:
        body["stop_sequences"] = list(request.stop)
    if request.response_format.WhichOneof("format") and not _may_call(request):
        body["response_format"] = _format(request.response_format)
    if thinking := _thinking(request):
        body["thinking"] = thinking
    if request.logprobs:
        body["logprobs"] = True
    return orjson.dumps({**extra_body, **body})


def ignored(request: pb.ChatCompletionRequest) -> Iterator[str]:
    """Yield the names of the fields that could not be honoured."""
    if request.temperature > _MOST_TEMPERATURE:
        yield "temperature"
    penalties = _penalties(request)
    for name in ("frequency_penalty", "presence_penalty"):
        if getattr(request, name) != penalties.get(name, 0):
            yield name
    strict = [tool.strict for tool in request.tools]
    if any(strict) and not all(strict):
        yield "tools[].function.strict"
    if request.response_format.WhichOneof("format") and _may_call(request):
        yield "response_format"
    if request.logprobs and request.top_logprobs:
        yield "top_logprobs"
    yield from unmapped.names(request)


def _sampling(request: pb.ChatCompletionRequest) -> dict[str, Any]:
    found: dict[str, Any] = {}
    if request.HasField("temperature"):
        found["temperature"] = min(request.temperature, _MOST_TEMPERATURE)
    if request.HasField("top_p"):
        found["p"] = min(max(request.top_p, _LEAST_P), _MOST_P)
    if request.HasField("seed"):
        found["seed"] = request.seed & _SEED_BITS
    return found | _penalties(request)


def _penalties(request: pb.ChatCompletionRequest) -> dict[str, float]:
    """Return the one penalty that is sent; the API refuses two of them."""
    for name in ("frequency_penalty", "presence_penalty"):
        if (penalty := getattr(request, name)) > 0:
            return {name: min(penalty, _MOST_PENALTY)}
    return {}


def _may_call(request: pb.ChatCompletionRequest) -> bool:
    return bool(request.tools) and request.tool_choice.mode != pb.ToolChoice.MODE_NONE


def _tools(request: pb.ChatCompletionRequest) -> dict[str, Any]:
    """Return tools and choice. Tools that must not be called make way for the answer's form."""
    choice = request.tool_choice
    has_form = request.response_format.WhichOneof("format") is not None
    if not request.tools or (has_form and not _may_call(request)):
        return {}
    offered = [tool for tool in request.tools if choice.function in ("", tool.name)]
    found: dict[str, Any] = {"tools": [_tool(tool) for tool in offered]}
    if all(tool.strict for tool in request.tools):
        found["strict_tools"] = True
    if choice.function or choice.mode == pb.ToolChoice.MODE_REQUIRED:
        found["tool_choice"] = "REQUIRED"
    elif choice.mode == pb.ToolChoice.MODE_NONE:
        found["tool_choice"] = "NONE"
    return found


def _tool(tool: pb.Tool) -> dict[str, Any]:
    function: dict[str, Any] = {"name": tool.name}
    if tool.HasField("description"):
        function["description"] = tool.description
    function["parameters"] = orjson.Fragment(tool.parameters or '{"type":"object","properties":{}}')
    return {"type": "function", "function": function}


def _format(form: pb.ResponseFormat) -> dict[str, Any]:
    found: dict[str, Any] = {"type": "json_object"}
    if form.json_schema.HasField("schema"):
        found["json_schema"] = orjson.Fragment(form.json_schema.schema)
    return found


def _thinking(request: pb.ChatCompletionRequest) -> dict[str, Any]:
    wanted = wants_thinking(request)
    if wanted is None:
        return {}
    if not wanted:
        return {"type": "disabled"}
    found: dict[str, Any] = {"type": "enabled"}
    if budget := _BUDGETS.get(request.reasoning_effort):
        limit = request.max_tokens // 2 if request.HasField("max_tokens") else budget
        found["token_budget"] = max(1, min(budget, limit))
    return found
