"""A conversation as the Messages API's turns: blocks of text, images, calls, results and thoughts.

The API refuses blank text, ids outside its alphabet, and ids it has seen; all three are common in
conversations that other providers took part in. So blank text is left out, and such ids are
replaced, in the call and in its result alike. Reasoning in clear text stays behind: the API takes
its own signed blocks only, which come back from `provider_state`.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Any

import orjson
from llmbase.v1 import chat_completion_pb2 as pb

from service.errors import InvalidRequest
from service.providers.dialects import anthropic_state as state
from service.providers.dialects.turns import (
    CallIds,
    Turn,
    arguments_object,
    parse_data_url,
    text_of,
)

_ID = re.compile(r"[A-Za-z0-9_-]+")
_IMAGES = ("image/jpeg", "image/png", "image/gif", "image/webp")
_DOCUMENT = "application/pdf"
_CALLED_WRONG = {"image/jpg": "image/jpeg"}

Blocks = list[Any]  # objects, or orjson.Fragment where the text is there already


def messages(turns: Iterable[Turn], said: Iterable[pb.Message]) -> list[dict[str, Any]]:
    """Return the turns as `messages`; `said` is what they were made of.

    Raises InvalidRequest for an image that the API cannot take.
    """
    ids = CallIds(_ID, "toolu_")
    found: list[dict[str, Any]] = []
    try:
        for turn in turns:
            role = "assistant" if turn.assistant else "user"
            blocks = _assistant(turn, ids) if turn.assistant else _user(turn, ids)
            if found and found[-1]["role"] == role:  # the turn between had nothing in it
                found[-1]["content"] += blocks
            elif blocks:
                found.append({"role": role, "content": blocks})
    except _UnusableImage as bad:
        raise _refusal(bad.part, said) from None
    if found and found[-1]["role"] == "assistant":
        _strip_end(found[-1]["content"])
    return found


def texts(given: Iterable[str]) -> Blocks:
    """Return texts as blocks, without blank ones."""
    return [{"type": "text", "text": text} for text in given if text.strip()]


def lacks_thoughts(turns: list[Turn]) -> bool:
    """Whether results are handed back to calls whose thinking was not.

    A model that thinks by budget has to find it there, or may not think now.
    """
    if len(turns) < 2 or not turns[-1].results:
        return False
    return not any(state.thoughts(message.provider_state) for message in turns[-2].messages)


class _UnusableImage(Exception):
    """An image part that no block can hold."""

    def __init__(self, part: pb.ContentPart) -> None:
        super().__init__()
        self.part = part


def _refusal(bad: pb.ContentPart, said: Iterable[pb.Message]) -> InvalidRequest:
    paths = (
        f"messages[{i}].content[{j}].image_url.url"
        for i, message in enumerate(said)
        for j, part in enumerate(message.content)
        if part == bad
    )
    kinds = ", ".join((*_IMAGES, _DOCUMENT))
    return InvalidRequest(next(paths), f"must be an https: URL or a base64 data: URL of {kinds}")


def _assistant(turn: Turn, ids: CallIds) -> Blocks:
    blocks: Blocks = []
    for message in turn.messages:
        text = text_of(message) or message.refusal
        calls = [_call(call, ids) for call in message.tool_calls]
        characters = called = 0
        for thought in state.thoughts(message.provider_state):
            blocks += texts([text[characters : thought.characters]])
            blocks += calls[called : thought.calls]
            blocks.append(orjson.Fragment(thought.block))
            characters, called = max(characters, thought.characters), max(called, thought.calls)
        blocks += texts([text[characters:]])
        blocks += calls[called:]
    return blocks


def _call(call: pb.ToolCall, ids: CallIds) -> dict[str, Any]:
    return {
        "type": "tool_use",
        "id": ids.of_call(call.id),
        "name": call.name,
        "input": orjson.Fragment(arguments_object(call.arguments)),
    }


def _user(turn: Turn, ids: CallIds) -> Blocks:
    blocks: Blocks = [_result(message, ids) for message in turn.results]
    for message in turn.messages:
        for part in message.content:
            if part.WhichOneof("part") == "image_url":
                blocks.append(_image(part))
            else:
                blocks += texts([part.text])
    return blocks


def _result(message: pb.Message, ids: CallIds) -> dict[str, Any]:
    result: dict[str, Any] = {
        "type": "tool_result",
        "tool_use_id": ids.of_result(message.tool_call_id),
    }
    if content := texts(part.text for part in message.content):
        result["content"] = content
    return result


def _image(part: pb.ContentPart) -> dict[str, Any]:
    url = part.image_url.url
    if url[:8].lower() == "https://":
        return {"type": "image", "source": {"type": "url", "url": url}}
    data = parse_data_url(url)
    kind = data and _CALLED_WRONG.get(data.mime_type, data.mime_type)
    if data is None or kind not in (*_IMAGES, _DOCUMENT):
        raise _UnusableImage(part)
    source = {"type": "base64", "media_type": kind, "data": data.base64}
    return {"type": "document" if kind == _DOCUMENT else "image", "source": source}


def _strip_end(blocks: Blocks) -> None:
    """Take the white space off the end of an answer that is to be gone on with."""
    last = blocks[-1]
    if isinstance(last, dict) and last["type"] == "text":
        last["text"] = last["text"].rstrip()
