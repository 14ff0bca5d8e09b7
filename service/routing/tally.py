"""What one call has asked so far, and what decides because of that when a target is looked at."""

from __future__ import annotations

from llmbase.v1.chat_completion_pb2 import ChatCompletionRequest

from service.providers.call import Call
from service.routing import gate, money
from service.routing.board import ProviderState, TargetState
from service.routing.breaker import State
from service.routing.gate import Gate
from service.routing.purse import DryPurse, Purse
from service.routing.router import Candidate


class Tally:
    """Of one call; `dry` as for its plan."""

    # The providers and the models of the attempts there have been.
    _asked: tuple[str, ...] = ()
    _models: tuple[str, ...] = ()
    _hedged: ProviderState | None = None

    def __init__(
        self, request: ChatCompletionRequest, call: Call, *, stream: bool, dry: bool
    ) -> None:
        self._request = request
        self._call = call
        self._stream = stream
        self._purse = DryPurse() if dry else Purse()

    def attempts(self, model_id: str) -> int:
        """Return how many attempts there have been at a model's targets."""
        return self._models.count(model_id)

    def hedge(self, slow: Candidate) -> None:
        """Hedges are of this target's originals from now on; its provider's budget pays."""
        self._hedged = slow.state.provider

    def look(self, candidate: Candidate, *, hedge: bool) -> Gate:
        """Return what decides on a target."""
        state, asked = candidate.state, self._asked
        breaker = state.state()
        # The first attempt of a call is its own; a move to a provider that works is free.
        charged = hedge or candidate.provider.name in asked
        if asked and breaker is State.HALF_OPEN:
            charged = True
        seen = Gate(
            breaker,
            self._usual(state),
            self._call.seconds_left(),
            charged,
            self._purse.level(self._payer(candidate, hedge) if hedge else state.provider),
            state.in_flight,
            candidate.target.max_in_flight,
        )
        return self._hedging(candidate, seen) if hedge else seen

    def look_again(self, candidate: Candidate, seen: Gate) -> Gate | None:
        """Return what decides now on a target that was taken. What was paid stays paid.

        None where nothing that it depends on can have changed: there is no deadline, no bound of
        attempts in flight, and no breaker that is not closed.
        """
        state, left = candidate.state, self._call.seconds_left()
        breaker = state.state()
        if left is None and breaker is State.CLOSED and seen.most_in_flight is None:
            return None
        return seen._replace(
            breaker=breaker, usual=self._usual(state), left=left, in_flight=state.in_flight
        )

    def take(self, candidate: Candidate, seen: Gate) -> bool:
        """A target is to be asked; return whether its provider was asked before."""
        name = candidate.provider.name
        before = name in self._asked
        if seen.charged:
            self._purse.pay(self._payer(candidate, seen.hedge))
        elif not before:
            self._purse.earn(candidate.state.provider)
        self._asked += (name,)
        self._models += (candidate.model_id,)
        return before

    def take_back(self, candidate: Candidate, seen: Gate) -> None:
        """A target that was taken was not asked after all."""
        self._asked = _without(self._asked, candidate.provider.name)
        self._models = _without(self._models, candidate.model_id)
        if seen.charged:
            self._purse.give_back(self._payer(candidate, seen.hedge))

    def _payer(self, candidate: Candidate, hedge: bool) -> ProviderState:
        """Return whose budget an attempt is paid from."""
        return self._hedged if hedge and self._hedged is not None else candidate.state.provider

    def _usual(self, state: TargetState) -> float | None:
        latency = state.stream if self._stream else state.whole
        return latency.usual(state.clock())

    def _hedging(self, candidate: Candidate, seen: Gate) -> Gate:
        most = gate.most_cost(candidate.model)
        worst = None if most is None else self._worst_cost(candidate)
        return seen._replace(hedge=True, worst_cost=worst, most_cost=most)

    def _worst_cost(self, candidate: Candidate) -> int | None:
        if candidate.cost is None:
            return None
        return money.worst_case(candidate.cost, candidate.model, self._request)


def _without(names: tuple[str, ...], name: str) -> tuple[str, ...]:
    """Return the names, one of them fewer."""
    place = names.index(name)
    return names[:place] + names[place + 1 :]
