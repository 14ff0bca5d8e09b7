"""The shapes of Converse's answers and of ConverseStream's events, as far as they are read here.

A field of the wrong type is refused, null is absent, a field without a place here is skipped.
"""

from __future__ import annotations

from msgspec import Raw, Struct

# The type of a call that the provider makes and answers by itself (Nova's system tools).
SERVER_TOOL = "server_tool_use"


class ReasoningText(Struct, rename="camel", gc=False):
    """Reasoning in clear text; the signature proves that the model wrote it."""

    text: str | None = None
    signature: str | None = None


class Reasoning(Struct, rename="camel", gc=False):
    """A block of reasoning, in clear text or encrypted (in base64)."""

    reasoning_text: ReasoningText | None = None
    redacted_content: str | None = None


class ToolUse(Struct, rename="camel", gc=False):
    """A tool call. The input stays JSON text, so that numbers and the order of keys survive."""

    tool_use_id: str | None = None
    name: str | None = None
    type: str | None = None
    input: Raw = Raw(b"")


class CitedText(Struct, gc=False):
    """Text of the answer that cites a source."""

    text: str | None = None


class Citations(Struct, gc=False):
    """Text of the answer, beside the sources it cites."""

    content: list[CitedText] | None = None


class Block(Struct, rename="camel", gc=False):
    """A block of a message: exactly one of these, or one that has no place here."""

    text: str | None = None
    tool_use: ToolUse | None = None
    reasoning_content: Reasoning | None = None
    citations_content: Citations | None = None


class Message(Struct, gc=False):
    """What the model says."""

    content: list[Block] | None = None


class Output(Struct, gc=False):
    """What the answer holds."""

    message: Message | None = None


class Usage(Struct, rename="camel", gc=False):
    """Tokens; the input's do not include those of the cache."""

    input_tokens: int | None = None
    output_tokens: int | None = None
    cache_read_input_tokens: int | None = None
    cache_write_input_tokens: int | None = None


class Answer(Struct, rename="camel", gc=False):
    """A whole answer."""

    output: Output | None = None
    stop_reason: str | None = None
    usage: Usage | None = None


class Start(Struct, rename="camel", gc=False):
    """How a block begins: only calls say so."""

    tool_use: ToolUse | None = None


class ToolUsePiece(Struct, gc=False):
    """A piece of the JSON text of a call's input."""

    input: str | None = None


class ReasoningPiece(Struct, rename="camel", gc=False):
    """A piece of reasoning, or its signature."""

    text: str | None = None
    signature: str | None = None
    redacted_content: str | None = None


class Delta(Struct, rename="camel", gc=False):
    """A piece of a block: exactly one of these, or one that has no place here."""

    text: str | None = None
    tool_use: ToolUsePiece | None = None
    reasoning_content: ReasoningPiece | None = None


class StreamEvent(Struct, rename="camel", gc=False):
    """The payload of any event: which of the fields it has follows from the event's name."""

    content_block_index: int | None = None
    start: Start | None = None
    delta: Delta | None = None
    stop_reason: str | None = None
    usage: Usage | None = None
