"""Whether a target is taken, from what was looked at immediately before.

What was looked at is written into the target's row of the trace, and kept nowhere else: from that
and the configuration the same is decided again.
"""

from __future__ import annotations

from llmbase.v1.chat_completion_pb2 import ChatCompletionRequest
from llmbase.v1.routing_pb2 import RouteCandidate, RouteGate, RouteVerdict

from service.config import ModelConfig, TargetConfig
from service.money import from_dollars
from service.routing import money
from service.routing.breaker import OPEN, State
from service.routing.router import Candidate

_BREAKER_OPEN = RouteVerdict.ROUTE_VERDICT_BREAKER_OPEN
_DEADLINE = RouteVerdict.ROUTE_VERDICT_DEADLINE
_RETRY_BUDGET = RouteVerdict.ROUTE_VERDICT_RETRY_BUDGET
_PRICE = RouteVerdict.ROUTE_VERDICT_PRICE
_FULL = RouteVerdict.ROUTE_VERDICT_FULL
_TAKEN = RouteVerdict.ROUTE_VERDICT_TAKEN

# What may be otherwise in a moment: the caller is told to come back, not that the request is wrong.
PASSING = frozenset({_BREAKER_OPEN, _RETRY_BUDGET, _FULL})


def look(
    traced: RouteCandidate,
    candidate: Candidate,
    breaker: State,
    left: float | None,
    budget: float,
    *,
    charged: bool,
    stream: bool,
) -> RouteVerdict.ValueType:
    """Write what decides on a target into a row that has none of it, and return the verdict.

    `breaker` is the target's, `left` what is left of the call's deadline, in seconds; `budget` is
    the level of the retry budget that would pay, in attempts, and `charged` whether it would have
    to.
    """
    state, gate = candidate.state, traced.gate
    latency = state.stream if stream else state.whole
    usual, in_flight = latency.usual(state.clock()), state.in_flight
    gate.breaker = breaker
    gate.retry_budget = budget
    if in_flight:
        gate.in_flight = in_flight
    if usual is not None:
        gate.usual_seconds = usual
    if left is not None:
        gate.seconds_left = left
    if charged:
        gate.charged = True
    most = candidate.most_in_flight
    traced.verdict = verdict = _verdict(breaker, usual, left, charged, budget, in_flight, most)
    return verdict


def look_again(
    traced: RouteCandidate, candidate: Candidate, left: float | None, *, stream: bool
) -> bool:
    """Return whether a target that was taken may still be asked; where not, its row says why.

    What was paid stays paid, and so does what a hedge costs.
    """
    state, gate = candidate.state, traced.gate
    breaker, in_flight = state.state(), state.in_flight
    usual = state.latency(stream=stream).usual(state.clock())
    most = candidate.most_in_flight
    verdict = _verdict(breaker, usual, left, False, 0.0, in_flight, most)
    if verdict == _TAKEN:
        return True
    gate.breaker = breaker
    gate.in_flight = in_flight
    gate.ClearField("usual_seconds")
    if usual is not None:
        gate.usual_seconds = usual
    if left is not None:
        gate.seconds_left = left
    traced.verdict = verdict
    return False


def look_at_hedge(
    traced: RouteCandidate, candidate: Candidate, request: ChatCompletionRequest
) -> RouteVerdict.ValueType:
    """Write what else decides on a hedge, which may cost so much at worst; return the verdict."""
    traced.gate.hedge = True
    most, worst = _most_cost(candidate.model), None
    if most is not None and candidate.cost is not None:
        worst = money.worst_case(candidate.cost, candidate.model, request)
        traced.gate.worst_cost_nanos = worst
    if _too_dear(most, worst):
        traced.verdict = _PRICE
    return traced.verdict


def decided(gate: RouteGate, model: ModelConfig, target: TargetConfig) -> RouteVerdict.ValueType:
    """Return what is decided by what the trace holds and the configuration says."""
    worst = gate.worst_cost_nanos if gate.HasField("worst_cost_nanos") else None
    if gate.hedge and _too_dear(_most_cost(model), worst):
        return _PRICE
    return _verdict(
        State(gate.breaker),
        gate.usual_seconds if gate.HasField("usual_seconds") else None,
        gate.seconds_left if gate.HasField("seconds_left") else None,
        gate.charged,
        gate.retry_budget,
        gate.in_flight,
        target.max_in_flight,
    )


def _verdict(
    breaker: State,
    usual: float | None,
    left: float | None,
    charged: bool,
    budget: float,
    in_flight: int,
    most_in_flight: int | None,
) -> RouteVerdict.ValueType:
    """Return why a target is taken or passed over, but for what a hedge costs."""
    if breaker is OPEN:
        return _BREAKER_OPEN
    if most_in_flight is not None and in_flight >= most_in_flight:
        return _FULL
    if left is not None and left < (usual or 0.0):
        return _DEADLINE
    if charged and budget < 1 - 1e-9:
        return _RETRY_BUDGET
    return _TAKEN


def _too_dear(most: int | None, worst: int | None) -> bool:
    """Whether a hedge may not cost so much at worst; of what has no price nobody knows."""
    return most is not None and (worst is None or worst > most)


def _most_cost(model: ModelConfig) -> int | None:
    """Return the most that a hedge may cost at worst, in nano-dollars; None: there is no bound."""
    if model.hedge is None or model.hedge.max_extra_cost is None:
        return None
    return from_dollars(model.hedge.max_extra_cost)
