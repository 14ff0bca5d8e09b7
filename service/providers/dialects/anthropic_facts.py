"""What an answer of the Messages API says about itself: why it stopped and what it used."""

from __future__ import annotations

from llmbase.v1 import chat_completion_pb2 as pb

from service.providers.dialects import anthropic_wire as wire
from service.providers.dialects.token_classes import TokenClasses

# `pause_turn` says that the model would go on if it were asked again: nothing a caller of ours is
# waiting for, so it is a stop, and the native word tells it apart.
_REASONS = {
    "end_turn": pb.FINISH_REASON_STOP,
    "stop_sequence": pb.FINISH_REASON_STOP,
    "pause_turn": pb.FINISH_REASON_STOP,
    "max_tokens": pb.FINISH_REASON_LENGTH,
    "model_context_window_exceeded": pb.FINISH_REASON_LENGTH,
    "tool_use": pb.FINISH_REASON_TOOL_CALLS,
    "refusal": pb.FINISH_REASON_CONTENT_FILTER,
}


def finish_reason(native: str, *, answered: bool) -> pb.FinishReason.ValueType:
    """Return the reason for a stop reason; a word nobody knows, and none at all, is a stop.

    `answered` is whether a call was the answer: then it is other calls that make it one of calls.
    """
    reason = _REASONS.get(native, pb.FINISH_REASON_STOP)
    return pb.FINISH_REASON_STOP if answered and reason == pb.FINISH_REASON_TOOL_CALLS else reason


def knows(native: str) -> bool:
    """Whether a stop reason is one that is documented."""
    return native in _REASONS


def refusal(details: wire.StopDetails | None) -> str:
    """Return what is said about a refusal."""
    return (details.explanation if details else None) or ""


class Tokens:
    """The tokens of one answer. Each figure is a total, so the latest one told is the one."""

    def __init__(self) -> None:
        self._latest = wire.Usage()

    def take(self, told: wire.Usage | None) -> None:
        """Take what an event, or a whole answer, tells."""
        if told is not None:
            for name in told.__struct_fields__:
                count = getattr(told, name)
                if count is not None:
                    setattr(self._latest, name, count)

    def usage(self) -> pb.Usage | None:
        """Return OpenAI's figures; None unless both the input and the output are known."""
        told = self._latest
        if told.input_tokens is None or told.output_tokens is None:
            return None
        details = told.output_tokens_details
        thinking = (details.thinking_tokens if details else None) or 0
        thinking = max(0, min(thinking, told.output_tokens))
        return TokenClasses(
            input_uncached=told.input_tokens,
            cache_read=told.cache_read_input_tokens or 0,
            cache_write=told.cache_creation_input_tokens or 0,
            output_text=told.output_tokens - thinking,
            reasoning=thinking,
        ).to_usage()
