"""Messages of a conversation as OpenAI's chat completions want them.

Opaque provider state goes in character for character, to whoever takes what OpenAI does not.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from llmbase.v1 import chat_completion_pb2 as pb

from service.providers.dialects import openai_state as state
from service.providers.dialects.openai_spelling import Spelling
from service.providers.plain_message import Other
from service.providers.seen import Seen

_ROLES = {role: name.removeprefix("ROLE_").lower() for name, role in pb.Role.items()}


def messages(seen: Seen, spelling: Spelling) -> list[dict[str, Any]]:
    """Return the messages; the last one is marked where it is to be gone on with."""
    found: list[dict[str, Any]] = [*seen.turns]
    for other in seen.others:
        found[other.place] = _message(other, spelling)
    if spelling.prefix and found[-1]["role"] == "assistant":
        found[-1] = {**found[-1], "prefix": True}
    return found


def present(message: Any, names: Iterable[str]) -> dict[str, Any]:
    """Return the optional fields that are set, by their own names."""
    return {name: getattr(message, name) for name in names if message.HasField(name)}


def _message(message: Other, spelling: Spelling) -> dict[str, Any]:
    given = message.given
    role = spelling.developer if message.role == pb.ROLE_DEVELOPER else _ROLES[message.role]
    found: dict[str, Any] = {"role": role, "content": _content(message, spelling)}
    if "name" in given and (spelling.names or message.role == pb.ROLE_TOOL):
        found["name"] = given["name"]
    if spelling.refusals and "refusal" in given:
        found["refusal"] = given["refusal"]
    if "tool_call_id" in given:
        found["tool_call_id"] = spelling.call_id(given["tool_call_id"])
    if "tool_calls" in given:
        # A slice is the quickest way through.
        found["tool_calls"] = [_call(call, spelling) for call in given["tool_calls"][:]]
    if spelling.reasoning and "reasoning_content" in given:
        found[spelling.reasoning] = given["reasoning_content"]
    if spelling.additions and "provider_state" in given:
        found.update(state.fields(given["provider_state"]))
    return found


def _content(message: Other, spelling: Spelling) -> str | list[dict[str, Any]] | None:
    """Return content in its shortest form: null for none, a string for a single text."""
    parts = message.parts
    if not spelling.refusals:  # what was refused was said
        parts = [pb.ContentPart(text=p.refusal) if p.HasField("refusal") else p for p in parts]
        if refusal := message.given.get("refusal"):
            parts.append(pb.ContentPart(text=refusal))
    if len(parts) == 1 and parts[0].HasField("text"):
        return parts[0].text
    return [_part(part) for part in parts] or None


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
