"""How every target stands: the one owner of what changes from call to call.

Everything else in this room is a pure function of what is read here. Entries are keyed by the
configuration, never by what callers send, so their number is bounded.
"""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Callable, Mapping

from service.config import BreakerConfig, ProviderConfig
from service.errors import ProviderFault
from service.routing.breaker import CLOSED, HALF_OPEN, OPEN, Breaker, ErrorClass, State, classify
from service.routing.latency import Latency
from service.routing.retry_budget import RetryBudget

# A wrong key is wrong for all that the provider offers; a 403 may be about one model.
_WRONG_KEY = 401


class ProviderState:
    """What a provider's targets share."""

    def __init__(self, name: str, breaker: BreakerConfig, chance: random.Random) -> None:
        self.name = name
        self.budget = RetryBudget()
        self.breakers_on = breaker.enabled
        self.authentication = Breaker(ErrorClass.AUTHENTICATION, breaker, chance)
        self._breaker = breaker
        self._chance = chance

    def breaker(self, kind: ErrorClass) -> Breaker:
        """Return a new, closed breaker for one of the provider's targets."""
        return Breaker(kind, self._breaker, self._chance)


class TargetState:
    """What is known of one target: who is asking it, how fast it answers, what failed."""

    def __init__(self, provider: ProviderState, clock: Callable[[], float]) -> None:
        self.provider = provider
        self.in_flight = 0
        self.whole = Latency()
        self.stream = Latency()
        self.clock = clock
        # None is made before something failed.
        self.breakers: tuple[Breaker, ...] = (provider.authentication,)
        self._own: dict[ErrorClass, Breaker] = {}

    def latency(self, *, stream: bool) -> Latency:
        """Return the times of streams' first content, or of whole answers."""
        return self.stream if stream else self.whole

    def state(self) -> State:
        """Return the worst state among the target's breakers and its provider's."""
        for breaker in self.breakers:
            if breaker.until is not None:
                return self._worst() if self.provider.breakers_on else CLOSED
        return CLOSED

    def _worst(self) -> State:
        now, worst = self.clock(), CLOSED
        for breaker in self.breakers:
            state = breaker.state(now)
            if state is OPEN:
                return state
            if state is HALF_OPEN:
                worst = state
        return worst

    def wait(self) -> float:
        """Return how many seconds from now an attempt may be made again."""
        now = self.clock()
        untils = [breaker.until for breaker in self.breakers if breaker.until is not None]
        return max((until - now for until in untils), default=0.0)

    def breaker(self, kind: ErrorClass, status: int | None) -> Breaker:
        """Return the breaker that a failure counts for."""
        if status == _WRONG_KEY:
            return self.provider.authentication
        if kind not in self._own:
            self._own[kind] = self.provider.breaker(kind)
            self.breakers = (*self.breakers, self._own[kind])
        return self._own[kind]


class Visit:
    """One attempt at a target, from its start to its end, as the board learns of it.

    `answered` or `failed` may be said; `leave` must be.
    """

    __slots__ = ("_here", "_latency", "_probes", "started", "target")

    def __init__(self, target: TargetState, stream: bool) -> None:
        self.target = target
        self._latency = target.stream if stream else target.whole
        self.started = now = target.clock()
        self._here = True
        target.in_flight += 1
        self._latency.try_again(now)
        self._probes: tuple[Breaker, ...] = ()
        for breaker in target.breakers:
            if breaker.until is not None and breaker.enter(now):
                self._probes += (breaker,)

    @property
    def elapsed(self) -> float:
        """How many seconds it has taken so far."""
        return self.target.clock() - self.started

    def answered(self) -> float:
        """The first content, or the whole answer, is there; return after how many seconds."""
        now = self.target.clock()
        seconds = now - self.started
        self._latency.observe(seconds, now)
        self._works()
        return seconds

    def failed(self, fault: ProviderFault) -> None:
        """The attempt failed, before its first content or after."""
        now = self.target.clock()
        kind = classify(fault)
        if kind is None:
            self._works()
            return
        if kind is ErrorClass.SLOW:
            self.endured()
        self.target.breaker(kind, fault.status).fail(now, fault.retry_after)

    def endured(self) -> None:
        """There was no content for so long, and nobody waits for it any longer."""
        now = self.target.clock()
        self._latency.endure(now - self.started, now)

    def leave(self) -> bool:
        """The attempt is over. To be called once or more; return whether this was the first."""
        if not self._here:
            return False
        self._here = False
        self.target.in_flight -= 1
        for breaker in self._probes:
            breaker.leave()
        return True

    def _works(self) -> None:
        for breaker in self.target.breakers:
            breaker.succeed()
        self._probes = ()


class Board:
    """All targets' states. `clock` gives monotonic seconds; `chance` spreads the breakers."""

    def __init__(
        self,
        providers: Mapping[str, ProviderConfig],
        clock: Callable[[], float],
        chance: random.Random,
        before: Board | None = None,
    ) -> None:
        """`before` is the board of the configuration before: what did not change is kept."""
        self.clock = clock
        self._configs = dict(providers)
        self._chance = chance
        self._providers: dict[str, ProviderState] = {}
        self._targets: dict[tuple[str, str], TargetState] = {}
        self.weights: dict[str, list[int]] = {}  # smooth weighting's running scores, by model
        if before is not None:
            kept = {n for n, it in providers.items() if before._configs.get(n) == it}
            self._providers = {n: it for n, it in before._providers.items() if n in kept}
            self._targets = {key: it for key, it in before._targets.items() if key[0] in kept}

    def provider(self, name: str) -> ProviderState:
        """Return the state of a provider."""
        state = self._providers.get(name)
        if state is None:
            breaker = self._configs[name].breaker if name in self._configs else BreakerConfig()
            state = self._providers[name] = ProviderState(name, breaker, self._chance)
        return state

    def breakers(self) -> Mapping[tuple[str, ...], float]:
        """Return how many targets of each provider are in each state, those in none left out."""
        found: Counter[tuple[str, ...]] = Counter()
        for target in self._targets.values():
            found[target.provider.name, target.state().value] += 1
        return found

    def budgets(self) -> Mapping[tuple[str, ...], float]:
        """Return the level of each provider's retry budget."""
        return {(name,): state.budget.level for name, state in self._providers.items()}

    def target(self, provider: str, model: str) -> TargetState:
        """Return the state of a target, by its provider and model as the configuration has them."""
        state = self._targets.get((provider, model))
        if state is None:
            state = self._targets[provider, model] = TargetState(
                self.provider(provider), self.clock
            )
        return state
