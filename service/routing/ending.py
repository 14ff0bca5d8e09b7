"""How a call ends that nobody has answered: what its caller is told. Pure."""

from __future__ import annotations

from collections.abc import Sequence

from llmbase.v1.routing_pb2 import RouteVerdict

from service.errors import (
    AllProvidersFailed,
    DeadlineExceeded,
    Error,
    FaultKind,
    FieldViolation,
    InvalidRequest,
    ProviderFault,
    RejectedByProvider,
    UpstreamError,
    UpstreamStalled,
    UpstreamTruncated,
)
from service.providers.provider import AnyProvider
from service.routing.gate import PASSING
from service.routing.plan import Plan

REASONS: dict[type[Error], str] = {
    UpstreamTruncated: "UPSTREAM_TRUNCATED",
    UpstreamStalled: "UPSTREAM_STALLED",
    UpstreamError: "UPSTREAM_ERROR",
}
_DEADLINE = RouteVerdict.ROUTE_VERDICT_DEADLINE
_RETRY_AFTER = 1.0  # seconds, where nobody says how long


def rejected(fault: ProviderFault, provider: AnyProvider) -> RejectedByProvider:
    """Return the error of a request that a provider refused."""
    return RejectedByProvider(
        provider.redact(fault.told) or "The provider refused the request.",
        facts={"provider": provider.name},
        violations=tuple(
            FieldViolation(provider.redact(it.field), provider.redact(it.description))
            for it in fault.violations
        ),
    )


def no_answer(plan: Plan, faults: Sequence[ProviderFault], unfit: InvalidRequest | None) -> Error:
    """Return the error of a call whose targets have all failed or been passed over."""
    verdicts = {candidate.verdict for candidate in plan.rows}
    if _DEADLINE in verdicts:
        return too_late()
    if unfit is not None and not faults and not verdicts & PASSING:
        return unfit
    waits = [fault.retry_after for fault in faults if fault.retry_after is not None]
    if not faults:
        waits += plan.waits
    return AllProvidersFailed(
        "All upstream providers failed. Retry with backoff.",
        retry_after=max(min(waits, default=0.0), _RETRY_AFTER),
        facts={"attempts": str(len(plan.attempts))},
    )


def too_late() -> DeadlineExceeded:
    """Return the error of a call for which no target has time enough."""
    return DeadlineExceeded("Less time is left than any target usually takes to answer.")


def after_commit(fault: ProviderFault) -> Error:
    """Return what a fault means once the caller has content: nobody else can go on with it."""
    if fault.kind is FaultKind.TRUNCATED:
        return UpstreamTruncated("The provider's stream ended before the answer was complete.")
    if fault.kind is FaultKind.SLOW:
        return UpstreamStalled(f"The provider's stream stalled: {fault.detail}.")
    return UpstreamError("The provider's stream failed before the answer was complete.")
