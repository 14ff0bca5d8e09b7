"""One step of a call's plan: a target that is to be tried, and why."""

from __future__ import annotations

from dataclasses import dataclass

from llmbase.v1.routing_pb2 import RouteAttemptKind

from service.routing.gate import Gate
from service.routing.retry_budget import ImaginedBudget, RetryBudget
from service.routing.router import Candidate

ORIGINAL = RouteAttemptKind.ROUTE_ATTEMPT_KIND_ORIGINAL
REPEAT = RouteAttemptKind.ROUTE_ATTEMPT_KIND_REPEAT
HEDGE = RouteAttemptKind.ROUTE_ATTEMPT_KIND_HEDGE
CONTINUATION = RouteAttemptKind.ROUTE_ATTEMPT_KIND_CONTINUATION


@dataclass(slots=True)
class Step:
    """A target to be tried. `row` is its place in the trace; `pause` is in seconds, before.

    `gate` is what it was taken by, and `budget` what pays for it where it is charged.
    """

    candidate: Candidate
    row: int
    kind: RouteAttemptKind.ValueType
    gate: Gate
    budget: RetryBudget | ImaginedBudget
    pause: float = 0.0
