"""The conversation's side of the request's table: messages, their parts and tool calls. Pure."""

from __future__ import annotations

from typing import Any

from llmbase.v1 import chat_completion_pb2 as pb

from gateway.transcoding.fields import BadField, Field, Reading, Table, pick
from gateway.transcoding.rows import (
    bare_text,
    constant,
    ignored,
    nested,
    refused,
    repeated,
    state,
    text,
    word,
)

ROLES = {
    "system": pb.ROLE_SYSTEM,
    "developer": pb.ROLE_DEVELOPER,
    "user": pb.ROLE_USER,
    "assistant": pb.ROLE_ASSISTANT,
    "tool": pb.ROLE_TOOL,
}

_CACHE_BREAKPOINT = ignored("prompt caches are the provider's own")

_IMAGE_URL = Table(
    "messages[].content[].image_url.", {"url": bare_text("url"), "detail": text("detail")}
)
_PARTS = {
    "text": Table(
        "messages[].content[].",
        {
            "type": constant("text"),
            "text": text("text"),
            "prompt_cache_breakpoint": _CACHE_BREAKPOINT,
        },
        required=("text",),
    ),
    "image_url": Table(
        "messages[].content[].",
        {
            "type": constant("image_url"),
            "image_url": nested("image_url", _IMAGE_URL),
            "prompt_cache_breakpoint": _CACHE_BREAKPOINT,
        },
        required=("image_url",),
    ),
    "refusal": Table(
        "messages[].content[].",
        {"type": constant("refusal"), "refusal": text("refusal")},
        required=("refusal",),
    ),
}


_CONTENT = {
    "anyOf": [
        {"type": "string"},
        {"type": "array", "minItems": 1, "items": {"oneOf": [*_PARTS.values()]}},
    ]
}


def _read_content(message: Any, value: Any, reading: Reading) -> None:
    if type(value) is str:
        message.content.add().text = value
    elif type(value) is list and value:
        parts = message.content
        for i, item in enumerate(value):
            try:
                pick(item, _PARTS).read(parts.add(), item, reading)
            except BadField as bad:
                raise bad.below(i) from None
    else:
        raise BadField("", "must be a string or a non-empty array of parts")


def _write_content(message: Any) -> str | list[dict[str, Any]] | None:
    parts = message.content
    if len(parts) == 1 and parts[0].HasField("text"):
        return str(parts[0].text)
    return [_PARTS[part.WhichOneof("part")].write(part) for part in parts] or None


def _read_arguments(message: Any, value: Any, reading: Reading) -> None:
    if type(value) is not str:
        raise BadField("", "must be a string: the arguments as JSON text")
    message.arguments = value


def _read_called_function(message: Any, value: Any, reading: Reading) -> None:
    message.arguments = "{}"
    _CALLED_FUNCTION.read(message, value, reading)


_CALLED_FUNCTION = Table(
    "messages[].tool_calls[].function.",
    {
        "name": bare_text("name"),
        "arguments": Field(
            _read_arguments, lambda message: message.arguments, shape={"type": "string"}
        ),
    },
)
_TOOL_CALL = Table(
    "messages[].tool_calls[].",
    {
        "id": bare_text("id"),
        "type": constant("function"),
        "function": Field(_read_called_function, _CALLED_FUNCTION.write, shape=_CALLED_FUNCTION),
        "custom": refused("is not supported: only calls of the type function are"),
        "provider_state": state("provider_state"),
    },
    required=("type", "function"),
)
_MESSAGE = Table(
    "messages[].",
    {
        "role": word("role", ROLES),
        "content": Field(_read_content, _write_content, shape=_CONTENT),
        "name": text("name"),
        "tool_calls": repeated("tool_calls", _TOOL_CALL),
        "tool_call_id": text("tool_call_id"),
        "reasoning_content": text("reasoning_content"),
        "refusal": text("refusal"),
        "provider_state": state("provider_state"),
        "annotations": ignored("they mark an answer and mean nothing to the model"),
        "audio": refused("is not supported: llmbase has no spoken answers"),
        "function_call": refused("is OpenAI's deprecated form: use tool_calls"),
    },
)


def _read_messages(request: Any, value: Any, reading: Reading) -> None:
    if type(value) is not list:
        raise BadField("", "must be an array of objects")
    add = request.messages.add
    for i, item in enumerate(value):
        # A role and a string: nearly all are no more, and go the short way.
        try:
            role, content = ROLES[item["role"]], item["content"]
            if type(content) is str and len(item) == 2:
                message = add()
                message.role = role
                message.content.add().text = content
                continue
        except (KeyError, TypeError):
            pass  # what else it is, or what is wrong with it, is found below
        try:
            _MESSAGE.read(add(), item, reading)
        except BadField as bad:
            raise bad.below(i) from None


ANY_MESSAGES = repeated("messages", _MESSAGE)  # what MESSAGES is without its short way
MESSAGES = Field(_read_messages, ANY_MESSAGES.write, shape=ANY_MESSAGES.shape)
