"""The shapes of Gemini's answers: one response message, whole or as a piece of a stream.

A field of the wrong type is refused, null is absent, a field without a place here is skipped
without being looked at. By the rules of proto JSON an absent number is 0.
"""

from __future__ import annotations

from typing import Any

from msgspec import Struct

from service.providers.dialects.openai_wire import Index, RawObject

# An enum's word; its number where a server was asked for (or only knows) numbers.
Enum = str | int


class FunctionCall(Struct, rename="camel", gc=False):
    """A tool call, always whole."""

    id: str | None = None
    name: str | None = None
    args: RawObject | None = None


class Part(Struct, rename="camel", gc=False):
    """A piece of content: text, a thought (text with `thought` set), a call, or what we cannot use.

    `thought_signature` is opaque and belongs to this part alone.
    """

    text: str | None = None
    thought: bool | None = None
    thought_signature: str | None = None
    function_call: FunctionCall | None = None


class Content(Struct, rename="camel", gc=False):
    """What a candidate says."""

    parts: list[Part] | None = None


class Token(Struct, rename="camel", gc=False):
    """A token and its log probability, which proto JSON spells as a word where it is infinite."""

    token: str | None = None
    log_probability: float | str | None = None


class TopTokens(Struct, rename="camel", gc=False):
    """The most likely tokens at one position."""

    candidates: list[Token] | None = None


class LogprobsResult(Struct, rename="camel", gc=False):
    """The tokens that were chosen, and for each the most likely ones."""

    chosen_candidates: list[Token] | None = None
    top_candidates: list[TopTokens] | None = None


class Candidate(Struct, rename="camel", gc=False):
    """A choice, or a piece of one."""

    index: Index | None = None
    content: Content | None = None
    finish_reason: Enum | None = None
    finish_message: str | None = None
    logprobs_result: LogprobsResult | None = None


class PromptFeedback(Struct, rename="camel", gc=False):
    """Why there is no answer to the prompt, if it was blocked."""

    block_reason: Enum | None = None


class UsageMetadata(Struct, rename="camel", gc=False):
    """Tokens so far. The cached ones are part of the prompt's; no other count includes another."""

    prompt_token_count: int | None = None
    tool_use_prompt_token_count: int | None = None
    cached_content_token_count: int | None = None
    candidates_token_count: int | None = None
    thoughts_token_count: int | None = None


class Response(Struct, rename="camel", gc=False):
    """A whole answer, or a piece of a streamed one."""

    candidates: list[Candidate] | None = None
    prompt_feedback: PromptFeedback | None = None
    usage_metadata: UsageMetadata | None = None
    response_id: str | None = None
    error: Any = None
