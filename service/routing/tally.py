"""What one call has asked so far, and what decides because of that when a target is looked at."""

from __future__ import annotations

from llmbase.v1.chat_completion_pb2 import ChatCompletionRequest

from service.providers.call import Call
from service.routing import gate, money
from service.routing.board import ProviderState
from service.routing.breaker import State
from service.routing.gate import Gate
from service.routing.purse import Purse
from service.routing.router import Candidate


class Tally:
    """Of one call; `dry` as for its plan."""

    def __init__(
        self, request: ChatCompletionRequest, call: Call, *, stream: bool, dry: bool
    ) -> None:
        self._request = request
        self._call = call
        self._stream = stream
        self._asked: dict[str, int] = {}  # attempts by provider
        self._attempts: dict[str, int] = {}  # by model
        self._purse = Purse(dry=dry)

    def attempts(self, model_id: str) -> int:
        """Return how many attempts there have been at a model's targets."""
        return self._attempts.get(model_id, 0)

    def hedge(self, slow: Candidate) -> None:
        """Hedges are of this target's originals from now on."""
        self._purse.hedge(slow.state.provider)

    def look(self, candidate: Candidate, *, hedge: bool) -> Gate:
        """Return what decides on a target."""
        state = candidate.state
        breaker = state.state()
        # The first attempt of a call is its own; a move to a provider that works is free.
        moved = any(self._attempts.values())
        asked = self._asked.get(candidate.provider.name, 0) > 0
        most_cost = gate.most_cost(candidate.model) if hedge else None
        return Gate(
            breaker=breaker,
            usual=self._usual(candidate),
            left=self._call.seconds_left(),
            charged=asked or hedge or (moved and breaker is State.HALF_OPEN),
            budget=self._purse.level(self._payer(candidate, hedge)),
            in_flight=state.in_flight,
            most_in_flight=candidate.target.max_in_flight,
            hedge=hedge,
            worst_cost=None if most_cost is None else self._worst_cost(candidate),
            most_cost=most_cost,
        )

    def look_again(self, candidate: Candidate, seen: Gate) -> Gate:
        """Return what decides now on a target that was taken. What was paid stays paid."""
        return seen._replace(
            breaker=candidate.state.state(),
            usual=self._usual(candidate),
            left=self._call.seconds_left(),
            in_flight=candidate.state.in_flight,
        )

    def take(self, candidate: Candidate, seen: Gate) -> bool:
        """A target is to be asked; return whether its provider was asked before."""
        name = candidate.provider.name
        before = self._asked.get(name, 0)
        if seen.charged:
            self._purse.pay(self._payer(candidate, seen.hedge))
        elif not before:
            self._purse.earn(candidate.state.provider)
        self._asked[name] = before + 1
        self._attempts[candidate.model_id] = self.attempts(candidate.model_id) + 1
        return before > 0

    def take_back(self, candidate: Candidate, seen: Gate) -> None:
        """A target that was taken was not asked after all."""
        self._attempts[candidate.model_id] -= 1
        self._asked[candidate.provider.name] -= 1
        if seen.charged:
            self._purse.give_back(self._payer(candidate, seen.hedge))

    def _payer(self, candidate: Candidate, hedge: bool) -> ProviderState:
        return self._purse.payer(candidate.state.provider, hedge=hedge)

    def _usual(self, candidate: Candidate) -> float | None:
        state = candidate.state
        return state.latency(stream=self._stream).usual(state.clock())

    def _worst_cost(self, candidate: Candidate) -> int | None:
        if candidate.pricing is None:
            return None
        return money.worst_case(candidate.pricing, candidate.model, self._request)
