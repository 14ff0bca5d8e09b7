"""What one look at a request has found, for whoever comes upon the same request after.

Of what a request can have most is not there, so it is looked at as a whole: asking for each field
costs about as much as all that is there at once.
"""

from __future__ import annotations

from typing import Any

from llmbase.v1.chat_completion_pb2 import ChatCompletionRequest

from service.providers.known_tools import KnownTools, known
from service.providers.plain_message import turns_of

_NAMES = {field: field.name for field in ChatCompletionRequest.DESCRIPTOR.fields}
_NO_TOOLS = KnownTools(())


class Seen:
    """What a request has. `given` are the values of the fields that are there, by their names.

    `turns` are the plain ones of its messages, of so many `characters` in all; in the places of
    `others` they are empty. `textual` says that these are known to have no images either.
    """

    __slots__ = ("characters", "given", "others", "request", "textual", "tools", "turns")

    def __init__(self, request: ChatCompletionRequest) -> None:
        self.request = request
        self.given = _given(request)
        # Slices are the quickest way through.
        self.tools = known(self.given["tools"][:]) if "tools" in self.given else _NO_TOOLS
        messages = self.given.get("messages", ())[:]
        self.turns, self.characters, self.others = turns_of(messages)
        self.textual = not self.others


def given(request: ChatCompletionRequest, seen: Seen | None) -> dict[str, Any]:
    """Return the values of the fields that are there, by their names; `seen` is as for `look`."""
    return seen.given if seen is not None and seen.request is request else _given(request)


def _given(request: ChatCompletionRequest) -> dict[str, Any]:
    return {_NAMES[field]: value for field, value in request.ListFields()}


def look(request: ChatCompletionRequest, seen: Seen | None) -> Seen:
    """Return what the request has; `seen` spares the look if it was at this very request.

    A request is never changed once it has been looked at: who wants another makes a copy. So what
    was seen of one is never taken for the other's.
    """
    return seen if seen is not None and seen.request is request else Seen(request)
