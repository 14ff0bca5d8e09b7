"""Whether a target is taken, from what was looked at immediately before. Pure."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass, replace

from llmbase.v1.chat_completion_pb2 import ChatCompletionRequest
from llmbase.v1.routing_pb2 import RouteCandidate, RouteGate, RouteVerdict

from service.config import ModelConfig, TargetConfig
from service.money import from_dollars
from service.routing import money
from service.routing.breaker import HALF_OPEN, OPEN, State
from service.routing.router import Candidate

_BREAKER_OPEN = RouteVerdict.ROUTE_VERDICT_BREAKER_OPEN
_DEADLINE = RouteVerdict.ROUTE_VERDICT_DEADLINE
_RETRY_BUDGET = RouteVerdict.ROUTE_VERDICT_RETRY_BUDGET
_PRICE = RouteVerdict.ROUTE_VERDICT_PRICE
_FULL = RouteVerdict.ROUTE_VERDICT_FULL
_TAKEN = RouteVerdict.ROUTE_VERDICT_TAKEN

# What may be otherwise in a moment: the caller is told to come back, not that the request is wrong.
PASSING = frozenset({_BREAKER_OPEN, _RETRY_BUDGET, _FULL})


@dataclass(slots=True)
class Gate:
    """What decides. Times are seconds; `budget` is the provider's retry budget, in attempts.

    `charged` says whether the attempt is paid from that budget: it is when the provider has been
    asked in this call before, and when its breaker is not closed. Costs are of hedges alone, in
    nano-dollars.
    """

    breaker: State
    usual: float | None
    left: float | None
    charged: bool
    budget: float
    in_flight: int
    most_in_flight: int | None
    hedge: bool = False
    worst_cost: int | None = None
    most_cost: int | None = None

    def verdict(self) -> RouteVerdict.ValueType:
        """Return why the target is taken or passed over."""
        if self.hedge and self._too_dear():
            return _PRICE
        if self.breaker is OPEN:
            return _BREAKER_OPEN
        if self.most_in_flight is not None and self.in_flight >= self.most_in_flight:
            return _FULL
        if self.left is not None and self.left < (self.usual or 0.0):
            return _DEADLINE
        if self.charged and self.budget < 1 - 1e-9:
            return _RETRY_BUDGET
        return _TAKEN

    def tell(self, traced: RouteCandidate) -> RouteVerdict.ValueType:
        """Write it and the verdict into a row of the trace that has none; return the verdict."""
        gate = traced.gate
        gate.breaker = self.breaker
        gate.retry_budget = self.budget
        gate.in_flight = self.in_flight
        if self.usual is not None:
            gate.usual_seconds = self.usual
        if self.left is not None:
            gate.seconds_left = self.left
        if self.charged:  # as every hedge is
            gate.charged = True
            gate.hedge = self.hedge
        if self.worst_cost is not None:
            gate.worst_cost_nanos = self.worst_cost
        traced.verdict = verdict = self.verdict()
        return verdict

    def _too_dear(self) -> bool:
        most, worst = self.most_cost, self.worst_cost
        return most is not None and (worst is None or worst > most)


def look(
    candidate: Candidate, asked: Collection[str], left: float | None, budget: float, *, stream: bool
) -> Gate:
    """Return what decides on a target, in a call that has asked these providers and has so many
    seconds `left`; `budget` is the level of the budget that would pay.
    """
    state = candidate.state
    breaker = state.state()
    latency = state.stream if stream else state.whole
    return Gate(
        breaker,
        latency.usual(state.clock()),
        left,
        # The first attempt of a call is its own; a move to a provider that works is free.
        bool(asked) and (candidate.provider.name in asked or breaker is HALF_OPEN),
        budget,
        state.in_flight,
        candidate.target.max_in_flight,
    )


def look_again(seen: Gate, candidate: Candidate, left: float | None, *, stream: bool) -> Gate:
    """Return what decides now on a target that was taken. What was paid stays paid."""
    state = candidate.state
    return replace(
        seen,
        breaker=state.state(),
        usual=state.latency(stream=stream).usual(state.clock()),
        left=left,
        in_flight=state.in_flight,
    )


def of_hedge(seen: Gate, candidate: Candidate, request: ChatCompletionRequest) -> Gate:
    """Return what decides on a hedge: it is charged, and may cost so much at worst."""
    most, worst = most_cost(candidate.model), None
    if most is not None and candidate.cost is not None:
        worst = money.worst_case(candidate.cost, candidate.model, request)
    return replace(seen, charged=True, hedge=True, worst_cost=worst, most_cost=most)


def most_cost(model: ModelConfig) -> int | None:
    """Return the most that a hedge may cost at worst, in nano-dollars; None: there is no bound."""
    if model.hedge is None or model.hedge.max_extra_cost is None:
        return None
    return from_dollars(model.hedge.max_extra_cost)


def from_proto(gate: RouteGate, model: ModelConfig, target: TargetConfig) -> Gate:
    """Return what the trace holds and the configuration says, to be decided on again."""
    return Gate(
        breaker=State(gate.breaker),
        usual=gate.usual_seconds if gate.HasField("usual_seconds") else None,
        left=gate.seconds_left if gate.HasField("seconds_left") else None,
        charged=gate.charged,
        budget=gate.retry_budget,
        in_flight=gate.in_flight,
        most_in_flight=target.max_in_flight,
        hedge=gate.hedge,
        worst_cost=gate.worst_cost_nanos if gate.HasField("worst_cost_nanos") else None,
        most_cost=most_cost(model),
    )
