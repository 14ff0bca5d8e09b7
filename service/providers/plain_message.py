"""The message that nearly all are: a role and one text. Who walks a conversation asks for it first.

Every look at a field of a message costs about as much as the next: one look at all that is there
spares most of them. What is said of other messages has to hold of plain ones, too: this is a short
way to the same end, never to another.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

from llmbase.v1.chat_completion_pb2 import ContentPart, Message, Role

# Role and content of a plain message, as REST has them, and most providers with it.
Turn = dict[str, str]

_CONTENT = Message.DESCRIPTOR.fields_by_name["content"]
# A tool's message says whose call it is the answer to, so it is never plain; nor is a developer's,
# whom few providers know by that name.
_SPEAKERS = {
    Role.ROLE_SYSTEM: "system",
    Role.ROLE_USER: "user",
    Role.ROLE_ASSISTANT: "assistant",
}
_OTHER: Turn = {}
_NAMES = {field: field.name for field in Message.DESCRIPTOR.fields}


class Other:
    """A message that is not plain, and its place among all.

    `given` are the values of the fields that are there, by their names, `parts` its content.
    """

    __slots__ = ("given", "parts", "place", "role")

    def __init__(self, place: int, fields: Iterable[tuple[Any, Any]]) -> None:
        """`fields` is what a message lists."""
        self.place = place
        self.given: dict[str, Any] = {_NAMES[field]: value for field, value in fields}
        self.role: Role.ValueType = self.given.get("role", Role.ROLE_UNSPECIFIED)
        # A slice is the quickest way through.
        self.parts: Sequence[ContentPart] = self.given.get("content", ())[:]


def turns_of(messages: Iterable[Message]) -> tuple[list[Turn], int, list[Other]]:
    """Return a turn for each message, their characters, and the messages that are not plain.

    The turns of these are empty. No turn is ever changed.
    """
    turns: list[Turn] = []
    characters = 0
    others: list[Other] = []
    for message in messages:
        fields = message.ListFields()  # in order of their numbers: the role is the first of all
        if len(fields) == 2:
            (_, role), (field, parts) = fields
            if (
                field is _CONTENT
                and role in _SPEAKERS
                and len(parts) == 1
                and (text := parts[0].text)
            ):
                turns.append({"role": _SPEAKERS[role], "content": text})
                characters += len(text)
                continue
        others.append(Other(len(turns), fields))
        turns.append(_OTHER)
    return turns, characters, others
