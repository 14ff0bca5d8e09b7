"""What a span says of one attempt. Called only where somebody will see it."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TypeAlias

from llmbase.v1.chat_completion_pb2 import Choice, ChoiceDelta, FinishReason, Usage
from llmbase.v1.routing_pb2 import RouteAttemptKind

from service.errors import Error, ProviderFault
from service.routing.step import Step
from telemetry import spans
from telemetry.tracing import Span

Choices: TypeAlias = Iterable[Choice] | Iterable[ChoiceDelta]

_CANCELLED = "cancelled"  # the caller left
_ENDED = "ended"  # the call's deadline, or the process, was at its end


def begin(parent: Span, step: Step, *, stream: bool) -> Span:
    """Return the span of an attempt at a target, within that of its RPC."""
    candidate = step.candidate
    return parent.child(
        f"chat {candidate.provider_model}",
        {
            **candidate.provider.facts,
            spans.OPERATION: "chat",
            spans.REQUEST_MODEL: candidate.provider_model,
            spans.STREAM: stream,
            spans.PROVIDER: candidate.provider.name,
            spans.MODEL: candidate.model_id,
            spans.KIND: _word(RouteAttemptKind.Name(step.kind), "ROUTE_ATTEMPT_KIND_"),
        },
    )


def answered(span: Span, seconds: float, *, stream: bool) -> None:
    """The whole answer is there, or a stream's first content."""
    span.set(spans.OUTCOME, "answered")
    if stream:
        span.event(spans.FIRST_CONTENT)
        span.set(spans.FIRST_CHUNK, seconds)


def failed(span: Span, fault: ProviderFault) -> None:
    """The provider, or the way there, failed."""
    if fault.status is not None:
        span.set(spans.HTTP_STATUS, fault.status)
    span.set(spans.OUTCOME, fault.kind.value)
    span.fail(fault.kind.value)


def lost(span: Span) -> None:
    """Another attempt was faster: no failure of anybody's."""
    span.set(spans.OUTCOME, "lost")


def broken_off(span: Span, error: BaseException) -> None:
    """The call ended before the attempt did."""
    outcome = _ENDED if isinstance(error, Error) else _CANCELLED
    span.set(spans.OUTCOME, outcome)
    span.fail(outcome, ours=False)


def finished(span: Span, choices: Choices) -> None:
    """The answer is complete. The provider's own words for why are not told."""
    reasons = [_word(FinishReason.Name(it.finish_reason), "FINISH_REASON_") for it in choices]
    span.set(spans.FINISH_REASONS, reasons)


def used(span: Span, usage: Usage) -> None:
    """Say what has been used, of an attempt or of a call."""
    span.set(spans.INPUT_TOKENS, usage.prompt_tokens)
    span.set(spans.OUTPUT_TOKENS, usage.completion_tokens)
    if usage.cached_tokens:
        span.set(spans.CACHED_TOKENS, usage.cached_tokens)
    if usage.reasoning_tokens:
        span.set(spans.REASONING_TOKENS, usage.reasoning_tokens)
    if usage.estimated:
        span.set(spans.ESTIMATED, True)


def _word(name: str, prefix: str) -> str:
    return name.removeprefix(prefix).lower()
