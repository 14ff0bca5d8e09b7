"""A conversation as Converse wants it: alternating turns of blocks, none of them blank.

Bedrock refuses blank text and empty turns alike: blank text is left out, and a turn or a tool
result of which nothing is left holds a full stop. Reasoning goes back only as it was signed, and
before all else that the message says.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from hashlib import blake2s
from typing import Any

import orjson
from llmbase.v1 import chat_completion_pb2 as pb

from service.errors import InvalidRequest
from service.providers.dialects import bedrock_state as state
from service.providers.dialects.turns import Turn, parse_data_url, text_of, turns

_BLANK = [{"text": "."}]
_CALL_ID = re.compile(r"[a-zA-Z0-9_.:-]{1,64}")
_IMAGE_FORMATS = {
    "image/png": "png",
    "image/jpeg": "jpeg",
    "image/jpg": "jpeg",
    "image/gif": "gif",
    "image/webp": "webp",
}


def encode(messages: Iterable[pb.Message]) -> list[dict[str, Any]]:
    """Return the turns of messages without system text. Raises InvalidRequest for an image."""
    return [
        {"role": "assistant", "content": list(_assistant(turn)) or _BLANK}
        if turn.assistant
        else {"role": "user", "content": list(_user(turn)) or _BLANK}
        for turn in turns(messages)
    ]


def check_images(messages: Iterable[pb.Message]) -> None:
    """Raise InvalidRequest, with the path, for an image that is not sent in bytes."""
    for at, message in enumerate(messages):
        for place, part in enumerate(message.content):
            if part.WhichOneof("part") == "image_url" and part.image_url.url[:5].lower() != "data:":
                raise _bad_image(f"messages[{at}].content[{place}]")


def texts(texts: Iterable[str]) -> list[dict[str, Any]]:
    """Return the texts that are not blank, a block each."""
    return [{"text": text} for text in texts if text.strip()]
