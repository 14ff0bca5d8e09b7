"""Thought signatures: opaque, and wanted back on exactly the part of the answer that carried them.

As `provider_state` a signature is one line of JSON under the key `gemini`; several are several
lines. That of a tool call is the call's. Those of text are the message's, and say where their part
lies in it, because a message here has one text and not parts. State that another dialect wrote has
no such key and is left out.
"""

from __future__ import annotations

from typing import Annotated

from msgspec import Meta, Struct, json

_Count = Annotated[int, Meta(ge=0)]


class Signature(Struct, omit_defaults=True):
    """A signature, and its part: characters `start` to `start + length` of the content.

    With `thought` it is a part of the reasoning. `calls` is how many tool calls came before it.
    """

    signature: str
    thought: bool = False
    start: _Count = 0
    length: _Count = 0
    calls: _Count = 0


class _Line(Struct):
    gemini: Signature


def line(signature: Signature) -> bytes:
    """Return the `provider_state` of one signature."""
    return json.encode(_Line(signature)) + b"\n"


def signatures(state: bytes) -> list[Signature]:
    """Return the signatures in a `provider_state`, in order; what is not ours is left out."""
    found = []
    for text in state.splitlines():
        try:
            found.append(_decode(text))
        except (ValueError, RecursionError):
            continue
    return found


def _decode(text: bytes) -> Signature:
    return json.decode(text, type=_Line).gemini
