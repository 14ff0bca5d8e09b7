"""What an answer of Ollama's says about itself: why it ended, what it used, what went wrong."""

from __future__ import annotations

from llmbase.v1 import chat_completion_pb2 as pb

from service.errors import FaultKind, ProviderFault
from service.providers.dialects import ollama_wire as wire
from service.providers.dialects import openai_error
from service.providers.dialects.token_classes import TokenClasses

_REASONS = {"stop": pb.FINISH_REASON_STOP, "length": pb.FINISH_REASON_LENGTH}
# The model was brought into memory, or sent out of it, and nothing was asked of it.
_NO_ANSWER = frozenset({"load", "unload"})


def finish_reason(native: str) -> pb.FinishReason.ValueType:
    """Return the reason for a `done_reason`; a word nobody knows, and none at all, is a stop.

    Raises ProviderFault STATUS (503) for a word that says there was no answer.
    """
    if native in _NO_ANSWER:
        raise ProviderFault(FaultKind.STATUS, f"a model that did {native}", status=503)
    return _REASONS.get(native, pb.FINISH_REASON_STOP)


def knows(native: str) -> bool:
    """Whether a `done_reason` is one that is documented."""
    return native in _REASONS


def usage(told: wire.Answer) -> pb.Usage | None:
    """Return OpenAI's figures; None unless both counts are there.

    Older servers leave the prompt's count out where the prompt was cached, or say 0. Half a figure
    would pass for a whole one, so the caller estimates both. Newer ones say how much of the prompt
    was cached, and count it in.
    """
    if not told.prompt_eval_count or told.eval_count is None:
        return None
    cached = min(told.prompt_eval_cached_count or 0, told.prompt_eval_count)
    return TokenClasses(
        input_uncached=told.prompt_eval_count - cached,
        cache_read=cached,
        output_text=told.eval_count,  # thinking is in it, and is not counted apart
    ).to_usage()


def fault(told: wire.Answer, where: str) -> ProviderFault:
    """Return the fault that an error in a 200 means; `where` it was found is for logs."""
    error = told.error
    if not isinstance(error, dict):
        error = {"message": error, "status": told.status}
    return openai_error.fault(error, where)
