"""The message that nearly all are: a role and one text. Who walks a conversation asks for it first.

Every look at a field of a message costs about as much as the next: one look at all that is there
spares most of them. What is said of other messages has to hold of plain ones, too: this is a short
way to the same end, never to another.
"""

from __future__ import annotations

from collections.abc import Iterable

from llmbase.v1.chat_completion_pb2 import Message, Role

_CONTENT = Message.DESCRIPTOR.fields_by_name["content"]
_OTHER = (Role.ROLE_UNSPECIFIED, "")


def plain_turns(messages: Iterable[Message]) -> list[tuple[Role.ValueType, str]]:
    """Return for each message of a role and one text both; no role and "" for others."""
    found = []
    for message in messages:
        turn = _OTHER
        fields = message.ListFields()  # in order of their numbers: the role is the first of all
        if len(fields) == 2:
            field, parts = fields[1]
            if field is _CONTENT and len(parts) == 1:
                turn = (fields[0][1], parts[0].text)
        found.append(turn)
    return found
