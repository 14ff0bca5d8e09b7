"""The message that nearly all are: a role and one text. Who walks a conversation asks for it first.

Every look at a field of a message costs about as much as the next: one look at all that is there
spares most of them. What is said of other messages has to hold of plain ones, too: this is a short
way to the same end, never to another.
"""

from __future__ import annotations

from llmbase.v1.chat_completion_pb2 import Message

_CONTENT = Message.DESCRIPTOR.fields_by_name["content"]


def plain_text(message: Message) -> str:
    """Return the text of a message of a role and one text; "" for any other, and an empty one."""
    fields = message.ListFields()  # in order of their numbers: the role is the first of all
    if len(fields) == 2:
        field, parts = fields[1]
        if field is _CONTENT and len(parts) == 1:
            return parts[0].text  # type: ignore[no-any-return]
    return ""
