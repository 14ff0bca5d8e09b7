"""A conversation as Cohere's messages.

System text has to be the first message: all of it is, in its order. An assistant's turn is made of
what it thought and said, its plan (which comes back from `provider_state`) and its calls; one with
nothing in it is left out, as the API refuses it. Images are URLs of either kind.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Any

from llmbase.v1 import chat_completion_pb2 as pb

from service.providers.dialects import cohere_state as state
from service.providers.dialects import turns

_CALL_ID = re.compile(r"[\x21-\x7e]+")

Content = str | list[dict[str, Any]]


def messages(given: Iterable[pb.Message]) -> list[dict[str, Any]]:
    """Return the conversation as `messages`."""
    system, others = turns.split_system(given)
    ids = turns.CallIds(_CALL_ID)
    found: list[dict[str, Any]] = []
    if system:  # alone it is all that there is to answer
        found.append({"role": "system" if others else "user", "content": _texts(system)})
    for message in others:
        if message.role == pb.ROLE_ASSISTANT:
            if turn := _assistant(message, ids):
                found.append({"role": "assistant", **turn})
        elif message.role == pb.ROLE_TOOL:
            found.append(_result(message, ids))
        else:
            found.append({"role": "user", "content": _content(message)})
    return found


def _assistant(message: pb.Message, ids: turns.CallIds) -> dict[str, Any]:
    found: dict[str, Any] = {}
    text = turns.text_of(message) or message.refusal
    if message.reasoning_content:
        blocks = [{"type": "thinking", "thinking": message.reasoning_content}]
        found["content"] = [*blocks, _text(text)] if text else blocks
    elif text:
        found["content"] = text
    if message.tool_calls:
        if plan := state.plan(message.provider_state):
            found["tool_plan"] = plan
        found["tool_calls"] = [_call(call, ids) for call in message.tool_calls]
    return found


def _call(call: pb.ToolCall, ids: turns.CallIds) -> dict[str, Any]:
    function = {"name": call.name, "arguments": turns.arguments_object(call.arguments)}
    return {"id": ids.of_call(call.id), "type": "function", "function": function}


def _result(message: pb.Message, ids: turns.CallIds) -> dict[str, Any]:
    content = _texts([part.text for part in message.content])
    return {
        "role": "tool",
        "tool_call_id": ids.of_result(message.tool_call_id),
        "content": content,
    }


def _content(message: pb.Message) -> Content:
    """Return a user's content in its shortest form: a string for a single text."""
    if not any(part.HasField("image_url") for part in message.content):
        return _texts([part.text for part in message.content])
    return [_part(part) for part in message.content]


def _part(part: pb.ContentPart) -> dict[str, Any]:
    if not part.HasField("image_url"):
        return _text(part.text)
    image = {"url": part.image_url.url}
    if part.image_url.HasField("detail"):
        image["detail"] = part.image_url.detail
    return {"type": "image_url", "image_url": image}


def _texts(texts: list[str]) -> Content:
    return texts[0] if len(texts) == 1 else [_text(text) for text in texts]


def _text(text: str) -> dict[str, Any]:
    return {"type": "text", "text": text}
