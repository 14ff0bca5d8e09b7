"""A request in our proto as the JSON body of Ollama's chat.

| field | what becomes of it |
|---|---|
| messages | see below |
| temperature, top_p, stop, frequency_penalty, presence_penalty | `options`, as they are |
| max_tokens | `options.num_predict` |
| seed | `options.seed`, of which 31 bits count |
| tools | as they are; none for the choice `none` |
| tool_choice | `required` cannot be said; with a named function no other tool is offered |
| response_format | `format`: the schema to the letter, else `json` |
| reasoning_effort, chat_template_kwargs | `think` |
| logprobs, top_logprobs | as they are |

All others have no equal. What is left out or not wholly honoured is named, unless it asks for what
happens anyway.

A message has one text and a list of images beside it, bare base64: the order between the two is not
kept. Developer text is system text. Reasoning goes back as `thinking`. Arguments are an object, and
a tool's result names the tool, which is found by the id of the call.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import Any

import orjson
from llmbase.v1 import chat_completion_pb2 as pb

from service.errors import InvalidRequest
from service.providers.dialects import turns, unmapped
from service.providers.dialects.thinking import wants_thinking

# A conversation that is longer than the context is refused, and an answer that reaches its end ends
# there: the server would drop the beginning of the conversation otherwise, and say nothing.
_WHOLE = {"truncate": False, "shift": False}

_OPTIONS = {
    "temperature": "temperature",
    "top_p": "top_p",
    "max_tokens": "num_predict",
    "frequency_penalty": "frequency_penalty",
    "presence_penalty": "presence_penalty",
}
# A seed of -1 would mean a random one, and of a large one the end would get lost.
_SEED_BITS = 2**31 - 1
_ROLES = {
    pb.ROLE_SYSTEM: "system",
    pb.ROLE_DEVELOPER: "system",
    pb.ROLE_USER: "user",
    pb.ROLE_ASSISTANT: "assistant",
    pb.ROLE_TOOL: "tool",
}
_NO_PARAMETERS = '{"type":"object","properties":{}}'

# Models that think at one of these levels and always do; all others take true or false, and most
# servers refuse a level for them.
_LEVELLED = "gpt-oss"
_LEVELS = {
    pb.REASONING_EFFORT_NONE: "low",
    pb.REASONING_EFFORT_MINIMAL: "low",
    pb.REASONING_EFFORT_LOW: "low",
    pb.REASONING_EFFORT_MEDIUM: "medium",
    pb.REASONING_EFFORT_HIGH: "high",
    pb.REASONING_EFFORT_XHIGH: "high",
    pb.REASONING_EFFORT_MAX: "high",
}


def encode(
    request: pb.ChatCompletionRequest,
    model: str,
    num_ctx: int | None,
    extra_body: Mapping[str, Any],
    *,
    stream: bool,
) -> bytes:
    """Return the body. The request has been checked: its schemas are JSON.

    `num_ctx` is the length of the context in tokens. `extra_body` is merged in, its `options` key
    by key; the request's own fields win. Raises InvalidRequest for an image that does not come in
    bytes.
    """
    body: dict[str, Any] = {
        "model": model,
        "messages": list(_messages(request.messages)),
        "stream": stream,
    }
    options = {} if num_ctx is None else {"num_ctx": num_ctx}
    if isinstance(extra_options := extra_body.get("options"), Mapping):
        options.update(extra_options)
    if options := options | _options(request):
        body["options"] = options
    if tools := [_tool(tool) for tool in _offered(request)]:
        body["tools"] = tools
    if (think := _think(request, model)) is not None:
        body["think"] = think
    if form := _format(request.response_format):
        body["format"] = form
    if request.logprobs:
        body["logprobs"] = True
        if request.top_logprobs:
            body["top_logprobs"] = request.top_logprobs
    return orjson.dumps({**_WHOLE, **extra_body, **body})


def ignored(request: pb.ChatCompletionRequest, model: str) -> Iterator[str]:
    """Yield the names of the fields that could not be honoured."""
    choice = request.tool_choice
    if choice.function or choice.mode == pb.ToolChoice.MODE_REQUIRED:
        yield "tool_choice"
    if any(tool.strict for tool in request.tools):
        yield "tools[].function.strict"
    if _is_levelled(model) and wants_thinking(request) is False:
        yield "reasoning_effort" if request.reasoning_effort else "chat_template_kwargs"
    parts = (part for message in request.messages for part in message.content)
    if any(part.image_url.detail not in ("", "auto") for part in parts):
        yield "messages[].content[].image_url.detail"
    yield from unmapped.names(request)


def _options(request: pb.ChatCompletionRequest) -> dict[str, Any]:
    found: dict[str, Any] = {
        theirs: getattr(request, ours)
        for ours, theirs in _OPTIONS.items()
        if request.HasField(ours)  # type: ignore[arg-type]
    }
    if request.stop:
        found["stop"] = list(request.stop)
    if request.HasField("seed"):
        found["seed"] = request.seed & _SEED_BITS
    return found


def _offered(request: pb.ChatCompletionRequest) -> Iterable[pb.Tool]:
    """Return the tools that may be called."""
    choice = request.tool_choice
    if choice.mode == pb.ToolChoice.MODE_NONE:
        return []
    return [tool for tool in request.tools if choice.function in ("", tool.name)]


def _tool(tool: pb.Tool) -> dict[str, Any]:
    function: dict[str, Any] = {"name": tool.name}
    if tool.HasField("description"):
        function["description"] = tool.description
    function["parameters"] = orjson.Fragment(tool.parameters or _NO_PARAMETERS)
    return {"type": "function", "function": function}


def _think(request: pb.ChatCompletionRequest, model: str) -> bool | str | None:
    wanted = wants_thinking(request)
    if wanted is None or not _is_levelled(model):
        return wanted
    return _LEVELS.get(request.reasoning_effort, "medium" if wanted else "low")


def _is_levelled(model: str) -> bool:
    return _LEVELLED in model.lower()


def _format(form: pb.ResponseFormat) -> orjson.Fragment | str:
    if form.json_schema.HasField("schema"):
        return orjson.Fragment(form.json_schema.schema)
    return "json" if form.WhichOneof("format") else ""


def _messages(messages: Iterable[pb.Message]) -> Iterator[dict[str, Any]]:
    names: dict[str, str] = {}  # of tools, by the id of the latest call
    for i, message in enumerate(messages):
        found: dict[str, Any] = {
            "role": _ROLES[message.role],
            "content": turns.text_of(message) or message.refusal,
        }
        if images := [
            _image(part.image_url.url, f"messages[{i}].content[{j}].image_url.url")
            for j, part in enumerate(message.content)
            if part.HasField("image_url")
        ]:
            found["images"] = images
        if message.reasoning_content:
            found["thinking"] = message.reasoning_content
        if message.tool_calls:
            names.update((call.id, call.name) for call in message.tool_calls)
            found["tool_calls"] = [_call(i, call) for i, call in enumerate(message.tool_calls)]
        if message.role == pb.ROLE_TOOL:
            found["tool_call_id"] = message.tool_call_id
            if name := names.get(message.tool_call_id, message.name):
                found["tool_name"] = name
        yield found


def _call(index: int, call: pb.ToolCall) -> dict[str, Any]:
    arguments = orjson.Fragment(turns.arguments_object(call.arguments))
    return {"id": call.id, "function": {"index": index, "name": call.name, "arguments": arguments}}


def _image(url: str, path: str) -> str:
    """Return an image as base64. Raises InvalidRequest for one that does not come in bytes."""
    data = turns.parse_data_url(url)
    if data is None or not data.mime_type.startswith("image/"):
        raise InvalidRequest(path, "must be a base64 data: URL of an image")
    return data.base64
