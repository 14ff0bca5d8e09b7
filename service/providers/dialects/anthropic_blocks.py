"""Blocks of a stream of the Messages API that have begun and not ended."""

from __future__ import annotations

from msgspec import Raw, json

from service.providers.dialects import anthropic_state as state
from service.providers.dialects.openai_wire import RawObject


class Call:
    """A tool call of which more may come. `given` is its input as far as its first event has it."""

    __slots__ = ("given", "index", "written")

    def __init__(self, index: int, given: str) -> None:
        self.index = index
        self.given = given
        self.written = False


class Answer:
    """A call whose input is the answer's text; `given` and `written` as of a call."""

    __slots__ = ("given", "written")

    def __init__(self, given: str) -> None:
        self.given = given
        self.written = False


class Thought:
    """A thinking block of which more may come."""

    __slots__ = ("block", "calls", "characters", "signature", "texts")

    def __init__(self, characters: int, calls: int, block: RawObject) -> None:
        self.characters = characters
        self.calls = calls
        self.block = block
        self.texts: list[str] = []
        self.signature: str | None = None

    def whole(self) -> state.Thought:
        """Return the block with all that came for it."""
        block = dict(self.block)
        if self.texts:
            block["thinking"] = Raw(json.encode("".join(self.texts)))
        if self.signature is not None:
            block["signature"] = Raw(json.encode(self.signature))
        return state.Thought(self.characters, self.calls, json.encode(block))
