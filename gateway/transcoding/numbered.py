"""Events with ids, for streams that can be gone on with (`Idempotency-Key`, `Last-Event-ID`). Pure.

An id is CHUNK.EVENT.BEGUN: the chunk's sequence, the event's number in it, and, as a bit each, the
choices that had begun before the chunk. So whoever renders the chunk once more, elsewhere, makes
the same events of it.
"""

from __future__ import annotations

import re
from typing import NamedTuple

from llmbase.v1 import chat_completion_pb2 as pb

from gateway.transcoding.chunks import DONE, StreamRenderer

_ID = re.compile(r"([1-9][0-9]{0,8})\.([1-9][0-9]{0,5})\.([0-9]{1,3})")
_END = b"\n\n"
_MOST_CHOICES = 8


class EventId(NamedTuple):
    """The last event that a client has seen."""

    sequence: int
    number: int
    begun: tuple[int, ...]

    @classmethod
    def parse(cls, text: str) -> EventId | None:
        """Return what an id says; None for what is no id of ours."""
        found = _ID.fullmatch(text)
        if found is None:
            return None
        bits = int(found[3])
        begun = tuple(index for index in range(_MOST_CHOICES) if bits >> index & 1)
        return cls(int(found[1]), int(found[2]), begun)


class NumberedRenderer:
    """Renders as `StreamRenderer` does, with ids, and without what came up to `seen`."""

    def __init__(self, include_usage: bool, seen: EventId | None = None) -> None:
        self._renderer = StreamRenderer(include_usage, seen.begun if seen is not None else ())
        self._skipped = seen.number if seen is not None else 0

    def render(self, chunk: pb.ChatCompletionChunk) -> bytes:
        """Return the chunk's events; those of the first chunk only after the last that was seen."""
        bits = sum(1 << index for index in self._renderer.begun)
        out = self._renderer.render(chunk)
        done = out.endswith(DONE)
        if done:
            out = out.removesuffix(DONE)
        events = out.split(_END)[:-1]  # no JSON has a line break in it
        numbered = [
            b"id: %d.%d.%d\n%b\n\n" % (chunk.sequence, number, bits, event)
            for number, event in enumerate(events, 1)
            if number > self._skipped
        ]
        self._skipped = 0
        return b"".join(numbered) + (DONE if done else b"")
