"""What an answer of Cohere's says about itself: why it ended, what it used, how probable it was."""

from __future__ import annotations

from collections.abc import Iterable

from llmbase.v1 import chat_completion_pb2 as pb

from service.errors import FaultKind, ProviderFault
from service.providers.dialects import cohere_wire as wire
from service.providers.dialects.token_classes import TokenClasses

# The last two are of the API's first version: the context was full, and the answer was deemed
# toxic.
_REASONS = {
    "COMPLETE": pb.FINISH_REASON_STOP,
    "STOP_SEQUENCE": pb.FINISH_REASON_STOP,
    "MAX_TOKENS": pb.FINISH_REASON_LENGTH,
    "TOOL_CALL": pb.FINISH_REASON_TOOL_CALLS,
    "ERROR_LIMIT": pb.FINISH_REASON_LENGTH,
    "ERROR_TOXIC": pb.FINISH_REASON_CONTENT_FILTER,
}
# The answer was broken off: what has come is none. By the status it would have had, if any.
_BROKEN_OFF = {"ERROR": None, "TIMEOUT": 504, "USER_CANCEL": None}


def finish_reason(native: str, told: str = "") -> pb.FinishReason.ValueType:
    """Return the reason for a finish reason; a word nobody knows, and none at all, is a stop.

    Raises ProviderFault REPORTED or STATUS for a word that says the answer was broken off, and for
    an error `told` beside any word.
    """
    if native in _BROKEN_OFF or told:
        status = _BROKEN_OFF.get(native)
        kind = FaultKind.REPORTED if status is None else FaultKind.STATUS
        raise ProviderFault(kind, "an answer that was broken off", status=status, told=told)
    return _REASONS.get(native, pb.FINISH_REASON_STOP)


def knows(native: str) -> bool:
    """Whether a finish reason is one that is documented."""
    return native in _REASONS


def usage(told: wire.Usage | None) -> pb.Usage | None:
    """Return OpenAI's figures; None unless both the input and the output are told.

    They are of the tokens really read and written; what is billed is less, and is told beside them.
    """
    tokens = told.tokens if told else None
    if told is None or tokens is None:
        return None
    if tokens.input_tokens is None or tokens.output_tokens is None:
        return None
    read, written = int(tokens.input_tokens), int(tokens.output_tokens)
    cached = min(int(told.cached_tokens or 0), read)
    reasoning = min(int(tokens.reasoning_tokens or 0), written)
    found = TokenClasses(
        input_uncached=read - cached,
        cache_read=cached,
        output_text=written - reasoning,
        reasoning=reasoning,
    ).to_usage()
    billed = told.billed_units or wire.Tokens()
    if billed.input_tokens is not None:
        found.billed_prompt_tokens = int(billed.input_tokens)
    if billed.output_tokens is not None:
        found.billed_completion_tokens = int(billed.output_tokens)
    return found


def add_logprobs(given: Iterable[wire.Logprobs], target: pb.Choice | pb.ChoiceDelta) -> None:
    """Add log probabilities to a choice or a delta.

    Tokens are known by number only. A piece of text that several of them make up (parts of one
    character) is one token here, as probable as all of them together.
    """
    for piece in given:
        if piece.text and piece.logprobs:
            target.logprobs.content.add(token=piece.text, logprob=sum(piece.logprobs))
