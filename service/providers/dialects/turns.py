"""From a free list of messages to strict turns, for providers whose turns must alternate. Pure.

System and developer text leaves the list. Neighbours that speak for the same side become one turn.
All tool results that follow an assistant turn are the beginning of one user turn.
"""

from __future__ import annotations

import base64
import binascii
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import NamedTuple

from llmbase.v1.chat_completion_pb2 import (
    ROLE_ASSISTANT,
    ROLE_DEVELOPER,
    ROLE_SYSTEM,
    ROLE_TOOL,
    Message,
)


@dataclass(slots=True)
class Turn:
    """One side's turn: an assistant's messages, or a user's, the tool results first."""

    assistant: bool
    messages: list[Message] = field(default_factory=list)
    results: list[Message] = field(default_factory=list)


class DataUrl(NamedTuple):
    """The content of a `data:` URL."""

    mime_type: str
    base64: str

    def content(self) -> bytes:
        """Return the bytes."""
        return base64.b64decode(self.base64)


def text_of(message: Message) -> str:
    """Return a message's text, its parts joined as they are."""
    return "".join(part.text or part.refusal for part in message.content)


def split_system(messages: Iterable[Message]) -> tuple[list[str], list[Message]]:
    """Return the texts of system and developer messages in order, and the other messages."""
    system, others = [], []
    for message in messages:
        if message.role in (ROLE_SYSTEM, ROLE_DEVELOPER):
            system.append(text_of(message))
        else:
            others.append(message)
    return system, others


def turns(messages: Iterable[Message]) -> list[Turn]:
    """Return alternating turns of the messages, which hold no system text."""
    found: list[Turn] = []
    for message in messages:
        assistant = message.role == ROLE_ASSISTANT
        if not found or found[-1].assistant != assistant:
            found.append(Turn(assistant))
        turn = found[-1]
        (turn.results if message.role == ROLE_TOOL else turn.messages).append(message)
    return found


def parse_data_url(url: str) -> DataUrl | None:
    """Return what a `data:` URL holds, as base64; None for any other URL and for broken base64."""
    if url[:5].lower() != "data:":
        return None
    head, comma, data = url[5:].partition(",")
    if not comma:
        return None
    mime_type, _, parameters = head.partition(";")
    mime_type = mime_type.strip().lower() or "text/plain"
    if parameters.rpartition(";")[2].strip().lower() != "base64":
        return None
    try:
        binascii.a2b_base64(data, strict_mode=True)
    except binascii.Error:
        return None
    return DataUrl(mime_type, data)
