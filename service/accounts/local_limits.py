"""Limits that one process counts for itself: a room without I/O."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from service.accounts.caller import Caller, Limits
from service.accounts.limits import (
    MINUTE,
    MOST_DEBT,
    Headers,
    Limit,
    Standing,
    cost,
    empty_in,
    excess,
    headers,
    refusal,
)
from telemetry.metrics import LIMITER_REFUSALS, Metrics

_FIRST_SWEEP = 1024  # keys


@dataclass(slots=True)
class Rates:
    """What is taken of one key's rates, in parts, at a time in microseconds."""

    at: int
    limits: Limits
    requests: int = 0
    tokens: int = 0

    def drain(self, now: int, limits: Limits) -> None:
        """Let the time up to `now` pass, at what the limits are now."""
        self.limits = limits
        requests, tokens = limits.rates
        passed = now - self.at
        if passed > 0:
            self.at = now
            self.requests = max(0, self.requests - passed * requests)
            self.tokens = max(0, self.tokens - passed * tokens)
        if not requests:
            self.requests = 0
        if not tokens:
            self.tokens = 0

    def add(self, requests: int, tokens: int) -> None:
        """Take more; less where it is negative."""
        self.requests += requests
        self.tokens = min(max(0, self.tokens + tokens), MOST_DEBT)

    def empty_at(self) -> int:
        """Return when nothing is taken any longer."""
        return self.at + empty_in(self.limits, self.requests, self.tokens)


class LocalLimiter:
    """Counts in this process alone. `now` gives microseconds that never go back."""

    def __init__(self, now: Callable[[], int], metrics: Metrics) -> None:
        self._now = now
        self._metrics = metrics
        self._accounts: dict[str, int] = {}  # calls that are open
        self._keys: dict[str, int] = {}
        self._rates: dict[str, Rates] = {}
        self._sweep_at = _FIRST_SWEEP

    async def start(self) -> None:
        """Nothing is to be started."""

    async def close(self) -> None:
        """Nobody else is to be told anything."""

    async def enter(self, caller: Caller, tokens: int) -> LocalLease:
        """Take a place and the rates, or nothing. Raises as `Limiter.enter`, but counts always."""
        rates = self._rates_of(caller)
        met = self._met(caller, rates, tokens)
        if met is not None:
            self._metrics.count(LIMITER_REFUSALS, limit=met.value)
            raise refusal(caller, Standing(met, rates.requests, rates.tokens), tokens)
        return self._take(caller, rates, tokens)

    def note(self, caller: Caller, tokens: int) -> LocalLease:
        """Count a call that somebody else has let in."""
        return self._take(caller, self._rates_of(caller), tokens)

    def leave(self, caller: Caller, excess: int) -> None:
        """Give a place back, and take `excess` parts of tokens more (less if negative)."""
        for counts, name in self._counts(caller):
            counts[name] -= 1
            if not counts[name]:
                del counts[name]
        if excess:
            self._rates_of(caller).add(0, excess)

    def _met(self, caller: Caller, rates: Rates, tokens: int) -> Limit | None:
        limits = caller.limits
        requests, most = limits.rates
        open_, most_open = self._accounts.get(caller.account_id, 0), limits.account_active
        if most_open and open_ >= most_open:
            return Limit.ACCOUNT_ACTIVE
        if limits.active and self._keys.get(caller.key_id, 0) >= limits.active:
            return Limit.ACTIVE
        if requests and rates.requests + MINUTE > requests * MINUTE:
            return Limit.REQUESTS
        if most and rates.tokens + cost(tokens, most) > most * MINUTE:
            return Limit.TOKENS
        return None

    def _counts(self, caller: Caller) -> tuple[tuple[dict[str, int], str], ...]:
        key = (self._keys, caller.key_id)
        if caller.limits.account_active is None:
            return (key,)
        return (self._accounts, caller.account_id), key

    def _take(self, caller: Caller, rates: Rates, tokens: int) -> LocalLease:
        limits = caller.limits
        for counts, name in self._counts(caller):
            counts[name] = counts.get(name, 0) + 1
        requests, most = limits.rates
        taken = cost(tokens, most)
        rates.add(MINUTE if requests else 0, taken)
        standing = Standing(None, rates.requests, rates.tokens)
        return LocalLease(self, caller, taken, headers(limits, standing))

    def _rates_of(self, caller: Caller) -> Rates:
        """Return a key's rates as they are now."""
        limits, now = caller.limits, self._now()
        rates = self._rates.get(caller.key_id)
        if rates is None:
            rates = Rates(now, limits)
            if any(limits.rates):
                self._sweep()
                self._rates[caller.key_id] = rates
        rates.drain(now, limits)
        return rates

    def _sweep(self) -> None:
        """Forget keys of which nothing is taken, now and then: keys come and go."""
        if len(self._rates) < self._sweep_at:
            return
        now = self._now()
        kept = {key: rates for key, rates in self._rates.items() if rates.empty_at() > now}
        self._rates = kept
        self._sweep_at = max(_FIRST_SWEEP, 2 * len(kept))


class LocalLease:
    """A call that is counted here."""

    __slots__ = ("_caller", "_left", "_limiter", "_taken", "headers")

    def __init__(self, limiter: LocalLimiter, caller: Caller, taken: int, headers: Headers) -> None:
        self._limiter = limiter
        self._caller = caller
        self._taken = taken
        self._left = False
        self.headers = headers

    def leave(self, tokens_used: int | None) -> None:
        """End the call; see `Lease.leave`."""
        if self._left:
            return
        self._left = True
        self._limiter.leave(self._caller, excess(self._caller.limits, self._taken, tokens_used))
