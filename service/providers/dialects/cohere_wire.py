"""The shapes of Cohere's chat answers: whole ones, and the events of a stream.

A field of the wrong type is refused, null is absent, a field without a place here (citations) is
skipped without being looked at.
"""

from __future__ import annotations

from typing import Annotated

from msgspec import Meta, Struct

# A bound that keeps the sum of any two counts inside the proto's int32. The API calls them doubles.
Count = Annotated[float, Meta(ge=0, lt=2**30)]


class Content(Struct, gc=False):
    """A block of content, or a piece of one: text, or what the model thought."""

    text: str | None = None
    thinking: str | None = None


class Function(Struct, gc=False):
    """What is called; the arguments are JSON text."""

    name: str | None = None
    arguments: str | None = None


class ToolCall(Struct, gc=False):
    """A tool call, or a piece of one."""

    id: str | None = None
    function: Function | None = None


class Message(Struct, gc=False):
    """A message, or a piece of one; a stream has one block or call where a message has a list."""

    content: str | Content | list[Content] | None = None
    tool_calls: ToolCall | list[ToolCall] | None = None
    tool_plan: str | None = None


class Tokens(Struct, gc=False):
    """What was really read and written; reasoning is part of the output."""

    input_tokens: Count | None = None
    output_tokens: Count | None = None
    reasoning_tokens: Count | None = None


class Usage(Struct, gc=False):
    """What an answer used, and what of it costs money; the cached tokens are part of the input."""

    tokens: Tokens | None = None
    billed_units: Tokens | None = None
    cached_tokens: Count | None = None


class Logprobs(Struct, gc=False):
    """A piece of text with the log probability of each of the tokens that make it up."""

    text: str | None = None
    logprobs: list[float] | None = None


class Answer(Struct, gc=False):
    """A whole answer. Where `message` is a text it is an error's."""

    id: str | None = None
    message: Message | str | None = None
    finish_reason: str | None = None
    usage: Usage | None = None
    logprobs: list[Logprobs] | None = None


class Delta(Struct, gc=False):
    """What an event brings."""

    message: Message | None = None
    finish_reason: str | None = None
    usage: Usage | None = None
    error: str | None = None


class StreamEvent(Struct, gc=False):
    """An event of a stream. `message` is an error's, where that comes without an event's type."""

    type: str | None = None
    id: str | None = None
    index: int | None = None
    delta: Delta | None = None
    logprobs: Logprobs | None = None
    message: str | None = None


class Kind(Struct, gc=False):
    """What kind of event it is."""

    type: str | None = None
