"""Reasoning that Bedrock wants back unchanged: signed text, and text that only it can read.

As `provider_state` it is one line of JSON with the key `bedrock_reasoning`, a list of Converse's
own `reasoningContent` objects; a stream gives a line for each block. Reasoning without a signature
is not kept: models that do not sign refuse to have it back. State that another dialect wrote does
not have the key and is left out.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import msgspec
import orjson

from service.providers.dialects import bedrock_wire as wire


class _State(msgspec.Struct):
    bedrock_reasoning: list[wire.Reasoning] | None = None


def of_blocks(blocks: Iterable[wire.Reasoning]) -> bytes:
    """Return the `provider_state` of a message's reasoning, b"" where none of it is opaque."""
    kept = [found for block in blocks if (found := _kept(block))]
    return orjson.dumps({"bedrock_reasoning": kept}) + b"\n" if kept else b""


def blocks(state: bytes) -> list[dict[str, Any]]:
    """Return the `reasoningContent` objects of a `provider_state`, none if it is not ours."""
    try:
        lines = msgspec.json.decode(b"[" + b",".join(state.splitlines()) + b"]", type=list[_State])
    except (ValueError, RecursionError):
        return []
    given = [block for line in lines for block in line.bedrock_reasoning or ()]
    return [found for block in given if (found := _kept(block))]


def _kept(block: wire.Reasoning) -> dict[str, Any] | None:
    clear = block.reasoning_text
    if clear is not None and clear.signature:
        return {"reasoningText": {"text": clear.text or "", "signature": clear.signature}}
    if block.redacted_content:
        return {"redactedContent": block.redacted_content}
    return None
