"""The shapes of Ollama's chat answers: one serves whole answers and the lines of a stream.

A field of the wrong type is refused, null is absent, a field without a place here is skipped
without being looked at. Tool calls and log probabilities have OpenAI's shapes, but for arguments
that are an object.
"""

from __future__ import annotations

from typing import Any

from msgspec import Struct

from service.providers.dialects.openai_wire import Count, TokenLogprob, ToolCall


class Message(Struct, gc=False):
    """A message, or a piece of one; tool calls come whole."""

    content: str | None = None
    thinking: str | None = None
    tool_calls: list[ToolCall] | None = None


class Answer(Struct, gc=False):
    """A whole answer, or a line of a streamed one; the counts are in the line that is done.

    `status` stands beside an `error` inside a stream, for the HTTP status that came too late.
    `choices` is what an answer in OpenAI's form has instead of all this.
    """

    created_at: str | None = None
    message: Message | None = None
    done: bool | None = None
    done_reason: str | None = None
    prompt_eval_count: Count | None = None
    prompt_eval_cached_count: Count | None = None
    eval_count: Count | None = None
    logprobs: list[TokenLogprob] | None = None
    error: Any = None
    status: Any = None
    choices: Any = None
