"""Messages of a conversation as OpenAI's chat completions want them.

Opaque provider state goes in character for character, to whoever takes what OpenAI does not.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any

from llmbase.v1 import chat_completion_pb2 as pb

from service.providers.dialects import openai_state as state
from service.providers.dialects.openai_spelling import Spelling


def messages(given: Iterable[pb.Message], spelling: Spelling) -> list[dict[str, Any]]:
    """Return the messages; the last one is marked where it is to be gone on with."""
    found = [_message(message, spelling) for message in given]
    if spelling.prefix and found[-1]["role"] == "assistant":
        found[-1]["prefix"] = True
    return found


def present(message: Any, names: Iterable[str]) -> dict[str, Any]:
    """Return the optional fields that are set, by their own names."""
    return {name: getattr(message, name) for name in names if message.HasField(name)}


def _message(message: pb.Message, spelling: Spelling) -> dict[str, Any]:
    found = {
        "role": _role(message.role, spelling),
        "content": _content(message, spelling),
        **present(message, _kept(message, spelling)),
    }
    if message.HasField("tool_call_id"):
        found["tool_call_id"] = spelling.call_id(message.tool_call_id)
    if message.tool_calls:
        found["tool_calls"] = [_call(call, spelling) for call in message.tool_calls]
    if spelling.reasoning and message.HasField("reasoning_content"):
        found[spelling.reasoning] = message.reasoning_content
    if spelling.additions and message.provider_state:
        found.update(state.fields(message.provider_state))
    return found


def _role(role: pb.Role.ValueType, spelling: Spelling) -> str:
    if role == pb.ROLE_DEVELOPER:
        return spelling.developer
    return pb.Role.Name(role).removeprefix("ROLE_").lower()


def _kept(message: pb.Message, spelling: Spelling) -> Iterator[str]:
    if spelling.names or message.role == pb.ROLE_TOOL:
        yield "name"
    if spelling.refusals:
        yield "refusal"


def _content(message: pb.Message, spelling: Spelling) -> str | list[dict[str, Any]] | None:
    """Return content in its shortest form: null for none, a string for a single text."""
    parts = list(message.content)
    if not spelling.refusals:  # what was refused was said
        parts = [pb.ContentPart(text=p.refusal) if p.HasField("refusal") else p for p in parts]
        if message.refusal:
            parts.append(pb.ContentPart(text=message.refusal))
    match parts:
        case []:
            return None
        case [part] if part.WhichOneof("part") == "text":
            return part.text
        case several:
            return [_part(part) for part in several]


def _part(part: pb.ContentPart) -> dict[str, Any]:
    match part.WhichOneof("part"):
        case "image_url":
            image = part.image_url
            return {
                "type": "image_url",
                "image_url": {"url": image.url, **present(image, ("detail",))},
            }
        case "refusal":
            return {"type": "refusal", "refusal": part.refusal}
        case _:
            return {"type": "text", "text": part.text}


def _call(call: pb.ToolCall, spelling: Spelling) -> dict[str, Any]:
    function = {"name": call.name, "arguments": call.arguments or "{}"}
    found: dict[str, Any] = {"id": spelling.call_id(call.id), "type": "function"}
    found["function"] = function
    if spelling.additions and call.provider_state:
        found.update(state.fields(call.provider_state))
    return found
