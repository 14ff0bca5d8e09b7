"""From a free list of messages to strict turns, for providers whose turns must alternate. Pure.

System and developer text leaves the list. Neighbours that speak for the same side become one turn.
All tool results that follow an assistant turn are the beginning of one user turn.
"""

from __future__ import annotations

import base64
import binascii
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from hashlib import blake2s
from typing import NamedTuple, NoReturn

import orjson
from llmbase.v1.chat_completion_pb2 import (
    ROLE_ASSISTANT,
    ROLE_DEVELOPER,
    ROLE_SYSTEM,
    ROLE_TOOL,
    Message,
)

from service.errors import InvalidRequest


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


def refuse_to_go_on(messages: Sequence[Message]) -> NoReturn:
    """Raise InvalidRequest: the model does not go on with the answer that the messages end with.

    The provider would refuse it too, but as the caller's fault; so another target may be asked.
    """
    last = max(i for i, message in enumerate(messages) if message.role == ROLE_ASSISTANT)
    raise InvalidRequest(
        f"messages[{last}].role",
        "must not be the assistant's in the last place: the model goes on with no answer",
    )


def arguments_object(arguments: str) -> str:
    """Return a call's arguments as the JSON text of an object, to the letter where they are one.

    Many providers take nothing else. No arguments are `{}`, and what the model wrote that is no
    object goes inside of one, where it can read it.
    """
    if not arguments.strip():
        return "{}"
    try:
        if isinstance(orjson.loads(arguments), dict):
            return arguments
    except orjson.JSONDecodeError:
        pass
    return orjson.dumps({"invalid_arguments": arguments}).decode()


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


class CallIds:
    """Gives calls ids that a provider takes: of its alphabet, and none twice in a conversation.

    Conversations in which other providers took part hold ids of other alphabets, and ids that are
    unique in their message only. What replaces such an id follows from it, so that the same
    conversation always gets the same ids. Calls and results are to be given in their order.
    """

    def __init__(self, alphabet: re.Pattern[str], prefix: str = "call_") -> None:
        self._alphabet = alphabet
        self._prefix = prefix
        self._given: dict[str, str] = {}  # by the caller's id, the latest call's
        self._taken: set[str] = set()

    def of_call(self, wanted: str) -> str:
        """Return the id of a call."""
        given = wanted
        if wanted in self._taken or not self._alphabet.fullmatch(wanted):
            given = self._substitute(f"{len(self._taken)}/{wanted}")
        self._taken.add(given)
        self._given[wanted] = given
        return given

    def of_result(self, wanted: str) -> str:
        """Return the id by which a result names its call: the latest of that id."""
        if wanted in self._given:
            return self._given[wanted]
        return wanted if self._alphabet.fullmatch(wanted) else self._substitute(wanted)

    def _substitute(self, text: str) -> str:
        return self._prefix + blake2s(text.encode(), digest_size=12).hexdigest()
