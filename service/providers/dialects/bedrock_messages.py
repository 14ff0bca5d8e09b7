"""A conversation as Converse wants it: turns of blocks, the user's first, none of them blank.

Bedrock refuses blank text and empty turns alike: blank text is left out, and a turn or a result of
which nothing is left holds a full stop, as does the user's turn before an assistant that begins.
Reasoning in clear text stays behind; what was signed goes back, first of all its message says.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Any

import orjson
from llmbase.v1 import chat_completion_pb2 as pb
from msgspec import json

from service.errors import InvalidRequest
from service.providers.dialects import bedrock_state as state
from service.providers.dialects.openai_wire import RawObject
from service.providers.dialects.turns import CallIds, Turn, parse_data_url

Block = dict[str, Any]
Blocks = list[Block]

BLANK: Block = {"text": "."}  # stands where there has to be something

_CALL_ID = re.compile(r"[a-zA-Z0-9_.:-]{1,64}")
_IMAGE_FORMATS = {
    "image/png": "png",
    "image/jpeg": "jpeg",
    "image/jpg": "jpeg",
    "image/gif": "gif",
    "image/webp": "webp",
}


def messages(turns: Iterable[Turn], said: Iterable[pb.Message]) -> list[dict[str, Any]]:
    """Return the turns as `messages`; `said` is what they were made of.

    Raises InvalidRequest for an image that does not come in bytes, or not of a known type.
    """
    ids = CallIds(_CALL_ID)
    found: list[dict[str, Any]] = []
    try:
        for turn in turns:
            if turn.assistant and not found:
                found.append({"role": "user", "content": [BLANK]})
            blocks = _assistant(turn, ids) if turn.assistant else _user(turn, ids)
            role = "assistant" if turn.assistant else "user"
            found.append({"role": role, "content": blocks or [BLANK]})
    except _UnusableImage as bad:
        raise _refusal(bad.part, said) from None
    if found and found[-1]["role"] == "assistant":
        _strip_end(found[-1]["content"])
    return found


def texts(given: Iterable[str]) -> Blocks:
    """Return texts as blocks, without blank ones."""
    return [{"text": text} for text in given if text.strip()]


def lacks_thoughts(turns: list[Turn]) -> bool:
    """Whether results are handed back to calls whose reasoning was not.

    A Claude that thinks by budget has to find it there, or may not think now.
    """
    if len(turns) < 2 or not turns[-1].results:
        return False
    return not any(state.blocks(message.provider_state) for message in turns[-2].messages)


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
    kinds = ", ".join(sorted(set(_IMAGE_FORMATS) - {"image/jpg"}))
    return InvalidRequest(next(paths), f"must be a base64 data: URL of {kinds}")


def _assistant(turn: Turn, ids: CallIds) -> Blocks:
    blocks: Blocks = []
    for message in turn.messages:
        blocks += [{"reasoningContent": kept} for kept in state.blocks(message.provider_state)]
        blocks += texts(part.text or part.refusal for part in message.content)
        blocks += texts([message.refusal])
        blocks += [_call(call, ids) for call in message.tool_calls]
    return blocks


def _call(call: pb.ToolCall, ids: CallIds) -> Block:
    given = {"name": call.name, "input": _input(call.arguments)}
    return {"toolUse": {"toolUseId": ids.of_call(call.id), **given}}


def _input(arguments: str) -> orjson.Fragment | dict[str, str]:
    """Return arguments as the object they are, to the letter.

    Converse takes nothing but an object; the model sees what else it wrote inside of one.
    """
    if not arguments.strip():
        return {}
    try:
        json.decode(arguments, type=RawObject)
    except (ValueError, RecursionError):
        return {"invalid_arguments": arguments}
    return orjson.Fragment(arguments)


def _user(turn: Turn, ids: CallIds) -> Blocks:
    blocks = [_result(message, ids) for message in turn.results]
    for message in turn.messages:
        for part in message.content:
            if part.WhichOneof("part") == "image_url":
                blocks.append(_image(part))
            else:
                blocks += texts([part.text])
    return blocks


def _result(message: pb.Message, ids: CallIds) -> Block:
    content = texts(part.text for part in message.content) or [BLANK]
    return {"toolResult": {"toolUseId": ids.of_result(message.tool_call_id), "content": content}}


def _image(part: pb.ContentPart) -> Block:
    data = parse_data_url(part.image_url.url)
    if data is None or data.mime_type not in _IMAGE_FORMATS:
        raise _UnusableImage(part)
    source = {"bytes": data.base64}
    return {"image": {"format": _IMAGE_FORMATS[data.mime_type], "source": source}}


def _strip_end(blocks: Blocks) -> None:
    """Take the white space off the end of an answer that is to be gone on with: Claude refuses it.

    A block that has text never loses all of it here: blank ones were left out.
    """
    if text := blocks[-1].get("text"):
        blocks[-1] = {"text": text.rstrip()}
