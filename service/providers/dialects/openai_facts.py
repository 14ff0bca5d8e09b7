"""What an answer says about itself: why it stopped, what it used, how probable its tokens were."""

from __future__ import annotations

from collections.abc import Iterable

from llmbase.v1 import chat_completion_pb2 as pb

from service.errors import FaultKind, ProviderFault
from service.providers.dialects import openai_wire as wire

_STOP = pb.FINISH_REASON_STOP
_LENGTH = pb.FINISH_REASON_LENGTH
_FILTER = pb.FINISH_REASON_CONTENT_FILTER
_CALLS = pb.FINISH_REASON_TOOL_CALLS

# OpenAI's words and what compatible providers say instead, in lower case.
_REASONS = {
    "stop": _STOP,
    "eos": _STOP,
    "eos_token": _STOP,
    "end_turn": _STOP,
    "stop_sequence": _STOP,
    "complete": _STOP,
    "length": _LENGTH,
    "max_tokens": _LENGTH,
    "max_output_tokens": _LENGTH,
    "model_length": _LENGTH,
    "model_context_window_exceeded": _LENGTH,
    "tool_calls": _CALLS,
    "tool_call": _CALLS,
    "tool_use": _CALLS,
    "function_call": _CALLS,
    "content_filter": _FILTER,
    "content_filtered": _FILTER,
    "safety": _FILTER,
    "refusal": _FILTER,
    "sensitive": _FILTER,
}
# The provider gave up: what has come is no answer.
_BROKEN_OFF = frozenset(
    {"error", "abort", "aborted", "network_error", "insufficient_system_resource"}
)

_NO_PROMPT_DETAILS = wire.PromptDetails()
_NO_COMPLETION_DETAILS = wire.CompletionDetails()
_VERY_UNLIKELY = -9999.0  # OpenAI's own stand-in for a probability too small for a number


def finish_reason(native: str, has_calls: bool) -> pb.FinishReason.ValueType:
    """Return the reason for a provider's word; a call overrides `stop`, and only that.

    No word at all, and a word nobody knows, is a stop. Raises ProviderFault REPORTED for a word
    that says the answer was broken off.
    """
    word = native.lower()
    if word in _BROKEN_OFF:
        raise ProviderFault(FaultKind.REPORTED, f"finish reason {word}")
    reason = _REASONS.get(word, _STOP)
    return _CALLS if has_calls and reason == _STOP else reason


def knows(native: str) -> bool:
    """Whether a finish word is OpenAI's, or one of those that others are known to say instead."""
    return native.lower() in _REASONS


def take_usage(given: wire.Usage | None, usage: pb.Usage) -> bool:
    """Fill in usage in OpenAI's meaning, and say whether prompt and completion are both told.

    It is empty before; where they are not, nothing is filled in.
    """
    if given is None or given.prompt_tokens is None or given.completion_tokens is None:
        return False
    prompt = given.prompt_tokens_details or _NO_PROMPT_DETAILS
    details = given.completion_tokens_details or _NO_COMPLETION_DETAILS
    # Of several spellings of one count the largest: some say 0 in those they leave out.
    reasoning = max(details.reasoning_tokens or 0, given.reasoning_tokens or 0)
    completion = given.completion_tokens
    # xAI counts reasoning beside the completion, not in it; its total gives that away.
    if given.total_tokens == given.prompt_tokens + completion + reasoning:
        completion += reasoning
    # Filled in where it is to stay: usage made apart would be copied.
    usage.prompt_tokens = given.prompt_tokens
    usage.completion_tokens = completion
    usage.total_tokens = given.prompt_tokens + completion
    cached = max(
        prompt.cached_tokens or 0,
        given.cached_tokens or 0,
        given.prompt_cache_hit_tokens or 0,
        given.cache_read_input_tokens or 0,
    )
    written = max(prompt.cache_write_tokens or 0, given.cache_creation_input_tokens or 0)
    # What is 0 need not be said.
    if cached:
        usage.cached_tokens = cached
    if written:
        usage.cache_write_tokens = written
    if reasoning:
        usage.reasoning_tokens = reasoning
    return True


def add_logprobs(given: wire.Logprobs, target: pb.Choice | pb.ChoiceDelta) -> None:
    """Add the log probabilities, if there are any, to a choice or a delta."""
    if given.content:
        target.logprobs.content.extend(_tokens(given.content))
    if given.refusal:
        target.logprobs.refusal.extend(_tokens(given.refusal))


def _tokens(tokens: Iterable[wire.TokenLogprob]) -> Iterable[pb.TokenLogprob]:
    for token in tokens:
        yield pb.TokenLogprob(
            token=token.token,
            logprob=_VERY_UNLIKELY if token.logprob is None else token.logprob,
            bytes=None if token.bytes is None else bytes(token.bytes),
            top_logprobs=_tokens(token.top_logprobs or ()),
        )
