"""Thinking blocks as opaque state: kept as the provider wrote them, never read.

The API wants them back, unchanged and where they stood, with the results of the tools that the
model called after it. As `provider_state` each is one line of JSON,
`{"anthropic":{"at":[characters,calls],"block":{…}}}`: the block, and how much of the message's text
and how many of its tool calls come before it. State that another dialect wrote is left out.
"""

from __future__ import annotations

from typing import NamedTuple

from msgspec import Struct, json

from service.providers.dialects.openai_wire import RawObject

_SIGNED = b'"thinking"'
_KINDS = (_SIGNED, b'"redacted_thinking"')


class _Kept(Struct, gc=False):
    at: tuple[int, int]
    block: RawObject


class _Line(Struct, gc=False):
    anthropic: _Kept | None = None


class Thought(NamedTuple):
    """A thinking block as JSON, and how many characters and tool calls stand before it."""

    characters: int
    calls: int
    block: bytes


def line(thought: Thought) -> bytes:
    """Return a thinking block as state; b"" for one without its signature, which was cut off.

    Raises ValueError for one that is not JSON through and through.
    """
    block = json.decode(thought.block, type=RawObject)
    if _raw(block, "type") == _SIGNED and _raw(block, "signature") in (b"", b"null", b'""'):
        return b""
    kept = _Kept((thought.characters, thought.calls), block)
    text = json.format(json.encode(_Line(kept)), indent=-1)
    text.decode()
    return text + b"\n"


def thoughts(state: bytes) -> list[Thought]:
    """Return the thinking blocks of a `provider_state`, in order; none if it is not ours."""
    found = []
    for text in state.splitlines():
        try:
            text.decode()  # raw JSON is copied as it is, so it must be UTF-8 throughout
            kept = json.decode(text, type=_Line).anthropic
        except (ValueError, RecursionError):
            continue
        if kept is not None and _raw(kept.block, "type") in _KINDS:
            characters, calls = kept.at
            found.append(Thought(max(0, characters), max(0, calls), json.encode(kept.block)))
    return found


def _raw(block: RawObject, key: str) -> bytes:
    return bytes(block.get(key, b""))
