"""What an answer says about itself: why it stopped, and what it used."""

from __future__ import annotations

from llmbase.v1 import chat_completion_pb2 as pb

from service.errors import FaultKind, ProviderFault
from service.providers.dialects import bedrock_wire as wire
from service.providers.dialects.token_classes import TokenClasses

_REASONS = {
    "end_turn": pb.FINISH_REASON_STOP,
    "stop_sequence": pb.FINISH_REASON_STOP,
    # Whether it is the caller who is to act is told by the calls: a tool can be the provider's own.
    "tool_use": pb.FINISH_REASON_STOP,
    "max_tokens": pb.FINISH_REASON_LENGTH,
    "model_context_window_exceeded": pb.FINISH_REASON_LENGTH,
    "guardrail_intervened": pb.FINISH_REASON_CONTENT_FILTER,
    "content_filtered": pb.FINISH_REASON_CONTENT_FILTER,
}
# What the model wrote could not be read by the provider: there is no answer.
_BROKEN_OFF = frozenset({"malformed_model_output", "malformed_tool_use"})


def finish_reason(native: str) -> pb.FinishReason.ValueType:
    """Return the reason for the provider's word, before tool calls are considered.

    No word at all, and a word nobody knows, is a stop. Raises ProviderFault REPORTED for a word
    that says there is no answer.
    """
    if native in _BROKEN_OFF:
        raise ProviderFault(FaultKind.REPORTED, f"stop reason {native}")
    return _REASONS.get(native, pb.FINISH_REASON_STOP)


def knows(native: str) -> bool:
    """Whether a stop reason is one that is documented."""
    return native in _REASONS


def usage(given: wire.Usage | None) -> pb.Usage | None:
    """Return usage in OpenAI's meaning; None unless both input and output are told.

    The provider's total is not looked at: whether it includes the cache differs by model.
    """
    if given is None or given.input_tokens is None or given.output_tokens is None:
        return None
    return TokenClasses(
        input_uncached=given.input_tokens,
        cache_read=given.cache_read_input_tokens or 0,
        cache_write=given.cache_write_input_tokens or 0,
        output_text=given.output_tokens,
    ).to_usage()
