"""One step of a call's plan: a target that is to be tried, and why."""

from __future__ import annotations

from dataclasses import dataclass

from llmbase.v1.routing_pb2 import RouteAttemptKind

from service.routing.retry_budget import ImaginedBudget, RetryBudget
from service.routing.router import Candidate

ORIGINAL = RouteAttemptKind.ROUTE_ATTEMPT_KIND_ORIGINAL
REPEAT = RouteAttemptKind.ROUTE_ATTEMPT_KIND_REPEAT
HEDGE = RouteAttemptKind.ROUTE_ATTEMPT_KIND_HEDGE
CONTINUATION = RouteAttemptKind.ROUTE_ATTEMPT_KIND_CONTINUATION


@dataclass(slots=True)
class Step:
    """A target to be tried. `row` is its place in the trace, which says by what it was taken.

    `charged` is the budget that has paid for it, if it had to be paid for; `timed` says whether the
    call has a deadline; `pause` is in seconds, before.
    """

    candidate: Candidate
    row: int
    kind: RouteAttemptKind.ValueType
    charged: RetryBudget | ImaginedBudget | None
    timed: bool
    pause: float
