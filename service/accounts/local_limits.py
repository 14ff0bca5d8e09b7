"""Limits that one process counts for itself: a room without I/O."""

from __future__ import annotations

from collections.abc import Callable

from service.accounts.caller import Caller, Limits
from service.accounts.limits import (
    MINUTE,
    MOST_DEBT,
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


class Taken:
    """What is taken of one key's limits: places, and parts of its rates at the time `at`."""

    __slots__ = ("at", "limits", "open", "requests", "tokens")

    def __init__(self, at: int, limits: Limits) -> None:
        self.at = at
        self.limits = limits
        self.open = 0  # calls
        self.requests = 0
        self.tokens = 0

    def drain(self, now: int, limits: Limits) -> None:
        """Let the time up to `now` pass, at what the limits are now."""
        self.limits = limits
        passed = now - self.at
        if passed > 0:
            requests, tokens = limits.rates
            self.at = now
            left = self.requests - passed * requests
            self.requests = left if left > 0 and requests else 0
            left = self.tokens - passed * tokens
            self.tokens = left if left > 0 and tokens else 0

    def empty_at(self) -> int:
        """Return when nothing is taken of the rates any longer."""
        return self.at + empty_in(self.limits, self.requests, self.tokens)


class LocalLimiter:
    """Counts in this process alone. `now` gives microseconds that never go back."""

    def __init__(self, now: Callable[[], int], metrics: Metrics) -> None:
        self.now = now
        self.accounts: dict[str, int] = {}  # calls that are open
        self._metrics = metrics
        self._keys: dict[str, Taken] = {}
        self._sweep_at = _FIRST_SWEEP

    async def start(self) -> None:
        """Nothing is to be started."""

    async def close(self) -> None:
        """Nobody else is to be told anything."""

    async def enter(self, caller: Caller, tokens: int) -> LocalLease:
        """Take a place and the rates, or nothing. Raises as `Limiter.enter`, but counts always."""
        return self.enter_at_once(caller, tokens)

    def enter_at_once(self, caller: Caller, tokens: int) -> LocalLease:
        """Do as `enter` does: here nobody is asked."""
        limits, key = caller.limits, self._key(caller)
        requests, per_token = limits.rates
        parts = cost(tokens, per_token)
        most = limits.account_active
        if most and self.accounts.get(caller.account_id, 0) >= most:
            met = Limit.ACCOUNT_ACTIVE
        elif limits.active and key.open >= limits.active:
            met = Limit.ACTIVE
        elif requests and key.requests + MINUTE > requests * MINUTE:
            met = Limit.REQUESTS
        elif per_token and key.tokens + parts > per_token * MINUTE:
            met = Limit.TOKENS
        else:
            return LocalLease(self, caller, key, parts)
        self._metrics.count(LIMITER_REFUSALS, limit=met.value)
        raise refusal(caller, Standing(met, key.requests, key.tokens), tokens)

    def note(self, caller: Caller, tokens: int) -> LocalLease:
        """Count a call that somebody else has let in."""
        parts = cost(tokens, caller.limits.rates[1])
        return LocalLease(self, caller, self._key(caller), parts)

    def _key(self, caller: Caller) -> Taken:
        """Return what is taken of a key's limits now."""
        now = self.now()
        key = self._keys.get(caller.key_id)
        if key is None:
            self._sweep(now)
            key = self._keys[caller.key_id] = Taken(now, caller.limits)
        key.drain(now, caller.limits)
        return key

    def _sweep(self, now: int) -> None:
        """Forget keys of which nothing is taken, now and then: keys come and go."""
        if len(self._keys) < self._sweep_at:
            return
        self._keys = {
            key_id: key for key_id, key in self._keys.items() if key.open or key.empty_at() > now
        }
        self._sweep_at = max(_FIRST_SWEEP, 2 * len(self._keys))


class LocalLease:
    """A call that is counted here: it takes a place, a request and `parts` of tokens."""

    __slots__ = ("_caller", "_key", "_left", "_limiter", "_parts", "headers")

    def __init__(self, limiter: LocalLimiter, caller: Caller, key: Taken, parts: int) -> None:
        self._limiter = limiter
        self._caller = caller
        self._key = key
        self._parts = parts
        self._left = False
        limits = caller.limits
        if limits.account_active is not None:
            accounts = limiter.accounts
            accounts[caller.account_id] = accounts.get(caller.account_id, 0) + 1
        key.open += 1
        if limits.rates[0]:
            key.requests += MINUTE
        taken = key.tokens + parts
        key.tokens = taken = taken if taken < MOST_DEBT else MOST_DEBT
        self.headers = headers(limits, key.requests, taken)

    def leave(self, tokens_used: int | None) -> None:
        """Give the place back, and take what was used of tokens; see `Lease.leave`."""
        if self._left:
            return
        self._left = True
        limiter, key, limits = self._limiter, self._key, self._caller.limits
        key.open -= 1
        if limits.account_active is not None:
            account_id, accounts = self._caller.account_id, limiter.accounts
            accounts[account_id] -= 1
            if not accounts[account_id]:
                del accounts[account_id]
        more = excess(limits, self._parts, tokens_used)
        if more > 0:
            key.drain(limiter.now(), limits)
            key.tokens = min(key.tokens + more, MOST_DEBT)
        elif more:  # before the time that has passed, or after it: the same, unless limits changed
            left = key.tokens + more
            key.tokens = left if left > 0 else 0
