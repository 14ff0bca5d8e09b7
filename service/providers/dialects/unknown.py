"""What a provider sends that its documentation did not have: reported, and else passed over.

A dialect is told at its making to whom it reports. What it reports is a machine's word as it came,
or "" where there is none; whoever counts or logs it has to bound it.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Literal, TypeVar

import orjson
from llmbase.v1 import chat_completion_pb2 as pb

# An event of a stream, or a word of a closed list such as the finish reasons.
Kind = Literal["event", "enum"]
OnUnknown = Callable[[Kind, str], None]

Answer = TypeVar("Answer", pb.ChatCompletion, pb.ChatCompletionChunk)


def unheard(kind: Kind, word: str) -> None:
    """Report to nobody."""


def checked(answer: Answer, knows: Callable[[str], bool], on_unknown: OnUnknown) -> Answer:
    """Return a whole answer, or a stream's last chunk; report its finish words that are new."""
    for choice in answer.choices[:]:  # a slice is the quickest way through
        word = choice.native_finish_reason
        if word and not knows(word):
            on_unknown("enum", word)
    return answer


def event_word(name: str, data: bytes) -> str:
    """Return what an event calls itself: its name, its type, or else its first key."""
    try:
        value = orjson.loads(data)
    except orjson.JSONDecodeError:
        return name
    if name or not isinstance(value, dict):
        return name
    for key in ("type", "object"):
        if isinstance(value.get(key), str):
            return str(value[key])
    return next(iter(value), "")
