"""The shapes of the Messages API's answers and stream events, as far as they are looked at.

A field of the wrong type is refused, null is absent, a field without a place here is skipped. What
depends on the kind of a block is decoded once its kind is known, so that unknown kinds may hold
anything.
"""

from __future__ import annotations

from typing import Any

from msgspec import Raw, Struct

from service.providers.dialects.openai_wire import RawObject


class OutputDetails(Struct, gc=False):
    """Parts of the output's tokens."""

    thinking_tokens: int | None = None


class Usage(Struct, gc=False):
    """What an answer used. The input excludes what was read from and written to the cache."""

    input_tokens: int | None = None
    cache_creation_input_tokens: int | None = None
    cache_read_input_tokens: int | None = None
    output_tokens: int | None = None
    output_tokens_details: OutputDetails | None = None


class StopDetails(Struct, gc=False):
    """Why the model refused, in words."""

    explanation: str | None = None


class Kind(Struct, gc=False):
    """What kind of block it is."""

    type: str | None = None


# Blocks of tools that the provider uses by itself, and what it keeps for itself: no part of an
# answer. Their results are of a type each, which all end alike.
_PASSED_OVER = frozenset({"server_tool_use", "mcp_tool_use", "container_upload", "compaction"})


def is_new(kind: str | None) -> bool:
    """Whether a type of block that is not looked at is none of those that are documented."""
    return bool(kind) and kind not in _PASSED_OVER and not str(kind).endswith("_tool_result")


class Block(Struct, gc=False):
    """A block of a known kind: text, thinking or a tool call."""

    text: str | None = None
    thinking: str | None = None
    id: str | None = None
    name: str | None = None
    input: RawObject | None = None


class Answer(Struct, gc=False):
    """A whole answer."""

    content: list[Raw] | None = None
    stop_reason: str | None = None
    stop_details: StopDetails | None = None
    usage: Usage | None = None
    error: Any = None


class Start(Struct, gc=False):
    """The message as it begins."""

    usage: Usage | None = None


class Delta(Struct, gc=False):
    """What is new: in a block, by its type, or in the message as a whole."""

    type: str | None = None
    text: str | None = None
    thinking: str | None = None
    signature: str | None = None
    partial_json: str | None = None
    stop_reason: str | None = None
    stop_details: StopDetails | None = None


class StreamEvent(Struct, gc=False):
    """Any event of a stream."""

    type: str | None = None
    index: int | None = None
    delta: Delta | None = None
    content_block: Raw = Raw(b"null")
    message: Start | None = None
    usage: Usage | None = None
    error: Any = None
