"""Limits that replicas count together, on a Redis or Valkey server.

An open call is a lease there, which its process renews while it runs: what a process that dies
leaves behind goes away by itself. All calls are counted in the process too, so that it can go on
alone from where it is when the server is away, and tells the server of all when it is back.
"""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import logging
import random
import time
import uuid
from collections.abc import Callable, Iterable, Iterator
from typing import Any

from service.accounts.caller import Caller
from service.accounts.limits import (
    LIMITS,
    Headers,
    Lease,
    Standing,
    bounded,
    cost,
    excess,
    headers,
    not_counted,
    refusal,
)
from service.accounts.local_limits import LocalLimiter
from service.accounts.shared_connection import Connection
from service.accounts.shared_line import Line, NoAnswer
from service.accounts.shared_scripts import ENTER, LEAVE, RENEW
from service.config import BreakerConfig
from service.routing.breaker import Breaker, ErrorClass, State
from telemetry.metrics import LIMITER_AWAY, LIMITER_REFUSALS, LIMITER_SECONDS, Metrics

_LOG = logging.getLogger("llmbase.limits")
_LEASE = 15.0  # seconds after which the calls of a process that died are forgotten
_BEATS = 3  # renewals in the life of a lease
_MOST_AT_ONCE = 500  # leases that are renewed in one step
_LAST_WORDS = 1.0  # seconds that closing may take
_BREAKER = BreakerConfig(failures=3, open=1.0, max_open=30.0)


class SharedLimiter:
    """`connection` makes one to the server; `refusal` is what it raises where that says an error.

    `timeout` and `lease` are in seconds. `closed`: nobody gets in while the server is away. `now`
    gives microseconds in place of the server's own clock.
    """

    def __init__(
        self,
        connection: Callable[[], Connection],
        refusal: type[Exception],
        timeout: float,
        metrics: Metrics,
        chance: random.Random,
        *,
        closed: bool = False,
        lease: float = _LEASE,
        breaker: BreakerConfig = _BREAKER,
        clock: Callable[[], float] = time.monotonic,
        now: Callable[[], int] | None = None,
    ) -> None:
        self._line = Line(connection, refusal, timeout, self._answered, self._silent)
        self._metrics = metrics
        self._closed = closed
        self._lease = lease
        self._lifetime = str(round(lease * 1e6))
        self._clock = clock
        self._now = now
        self._breaker = Breaker(ErrorClass.SLOW, breaker, chance)
        self._here = LocalLimiter(now or (lambda: int(clock() * 1e6)), metrics)
        process = uuid.uuid4().hex[:16]
        self._names = (f"{process}.{i:x}" for i in itertools.count())
        self._open: set[SharedLease] = set()
        self._unsure: list[tuple[Caller, str, int]] = []  # what may be taken, for nobody
        self._doubtful: set[SharedLease] = set()  # what may be renewed
        self._missed = False  # whether the server may not know of calls that are open
        self._back = asyncio.Event()
        self._tasks: list[asyncio.Task[None]] = []
        metrics.set(LIMITER_AWAY, 0)

    async def start(self) -> None:
        """Begin to exchange and to renew. A server that is away keeps nobody from starting."""
        loop = asyncio.get_running_loop()
        self._tasks = [loop.create_task(self._line.run()), loop.create_task(self._keep_up())]

    async def close(self) -> None:
        """Tell of calls that have left, as far as that can be done in a second."""
        self._line.hurry()
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(_LAST_WORDS):
                await self._line.told()
        for task in self._tasks:
            task.cancel()
        if self._tasks:
            await asyncio.wait(self._tasks)

    async def told(self) -> None:
        """Return when the server knows of every call that has left."""
        await self._line.told()

    def enter_at_once(self, caller: Caller, tokens: int) -> Lease | None:
        """Let a call in that has no limits; see `Limiter.enter_at_once`."""
        return None if bounded(caller.limits) else self._here.note(caller, 0)

    async def enter(self, caller: Caller, tokens: int) -> Lease:
        """Let a call in, or not; see `Limiter.enter`. One round trip, and none without limits."""
        if (lease := self.enter_at_once(caller, tokens)) is not None:
            return lease
        if self._breaker.state(self._clock()) is State.OPEN:
            return await self._alone(caller, tokens)
        probe = self._breaker.enter(self._clock())
        name, started = next(self._names), self._clock()
        taken = cost(tokens, caller.limits.rates[1])
        try:
            met, requests, used = await self._line.ask(
                ENTER,
                _keys(caller),
                self._entering(caller, name, taken),
                lambda answer: self._unclaimed(caller, name, taken, answer),
            )
        except NoAnswer:
            return await self._alone(caller, tokens)
        except asyncio.CancelledError:
            if probe:
                self._breaker.leave()  # it may not even have asked
            raise
        finally:
            self._metrics.observe(LIMITER_SECONDS, self._clock() - started)
        standing = Standing(LIMITS[met - 1] if met else None, requests, used)
        if standing.met is not None:
            self._metrics.count(LIMITER_REFUSALS, limit=standing.met.value)
            raise refusal(caller, standing, tokens)
        told = headers(caller.limits, requests, used)
        return self._let_in(caller, name, taken, self._here.note(caller, tokens), told)

    def leave(self, lease: SharedLease, more: int) -> None:
        """Forget a call that used `more` parts of tokens than it took."""
        self._open.discard(lease)
        self._tell_left(lease.caller, lease.name, more)

    def _let_in(
        self, caller: Caller, name: str, taken: int | None, here: Lease, told: Headers
    ) -> SharedLease:
        lease = SharedLease(self, caller, name, taken, here, told)
        self._open.add(lease)
        return lease

    async def _alone(self, caller: Caller, tokens: int) -> Lease:
        """Let a call in without the server, which learns of it when leases are renewed."""
        if self._closed:
            raise not_counted()
        here = await self._here.enter(caller, tokens)
        return self._let_in(caller, next(self._names), None, here, here.headers)

    def _unclaimed(self, caller: Caller, name: str, taken: int, answer: Any) -> None:
        """Give back what was taken for a call that is gone, or may have been for one unanswered."""
        if answer is None:
            # What was sent may yet be done, after this: it is said again when leases are renewed.
            self._unsure.append((caller, name, taken))
        elif answer[0]:
            return
        self._tell_left(caller, name, -taken)

    def _tell_left(self, caller: Caller, name: str, more: int) -> None:
        self._line.tell(LEAVE, _keys(caller), (self._time(), name, *_rates(caller), str(more)))

    def _entering(self, caller: Caller, name: str, taken: int) -> tuple[str, ...]:
        limits = caller.limits
        bounds = (str(limits.account_active or 0), str(limits.active or 0))
        return (self._time(), name, *_rates(caller), self._lifetime, *bounds, str(taken))

    def _time(self) -> str:
        return "" if self._now is None else str(self._now())

    def _answered(self) -> None:
        if self._breaker.until is not None:
            _LOG.info("shared limiter is back")
        self._breaker.succeed()
        self._metrics.set(LIMITER_AWAY, 0)
        if self._missed:
            self._missed = False
            self._back.set()

    def _silent(self, error: Exception) -> None:
        self._missed = True
        was = self._breaker.until
        self._breaker.fail(self._clock())
        if was is None and self._breaker.until is not None:
            _LOG.warning("shared limiter is away", extra={"fault": type(error).__name__})
            self._metrics.set(LIMITER_AWAY, 1)

    async def _keep_up(self) -> None:
        """Renew in time, and at once when the server is back; else nobody may be asking it."""
        while True:
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(self._lease / _BEATS):
                    await self._back.wait()
            self._back.clear()
            if self._breaker.state(self._clock()) is not State.OPEN:
                await self.renew()

    async def renew(self) -> None:
        """Have the server keep the leases of open calls, and forget those it may have kept."""
        doubtful, self._doubtful = self._doubtful, set()
        self._tell_gone(doubtful)
        unsure, self._unsure = self._unsure, []
        for caller, name, more in unsure:
            self._tell_left(caller, name, more)
        self._line.hurry()
        for keys, leases in self._sets():
            self._breaker.enter(self._clock())
            names = [lease.name for lease in leases]
            try:
                await self._line.ask(RENEW, keys, (self._time(), self._lifetime, *names))
            except NoAnswer:
                self._doubtful.update(leases)
                break
            self._tell_gone(leases)

    def _tell_gone(self, renewed: Iterable[SharedLease]) -> None:
        """Tell again of those that have left: it may have come before the renewal."""
        for lease in renewed:
            if lease not in self._open:
                self._tell_left(lease.caller, lease.name, 0)

    def _sets(self) -> Iterator[tuple[tuple[str], list[SharedLease]]]:
        """Return the sets that leases are in, with those that are open, some at a time."""
        sets: dict[str, list[SharedLease]] = {}
        for lease in self._open:
            account, key, _ = _keys(lease.caller)
            if lease.caller.limits.account_active:
                sets.setdefault(account, []).append(lease)
            sets.setdefault(key, []).append(lease)
        for name, leases in sets.items():
            for i in range(0, len(leases), _MOST_AT_ONCE):
                yield (name,), leases[i : i + _MOST_AT_ONCE]


class SharedLease:
    """A call that is counted here and there. `taken`: parts of tokens, there; None: nothing was."""

    __slots__ = ("_here", "_left", "_limiter", "_taken", "caller", "headers", "name")

    def __init__(
        self,
        limiter: SharedLimiter,
        caller: Caller,
        name: str,
        taken: int | None,
        here: Lease,
        headers: Headers,
    ) -> None:
        self._limiter = limiter
        self._taken = taken
        self._here = here
        self._left = False
        self.caller = caller
        self.name = name
        self.headers = headers

    def leave(self, tokens_used: int | None) -> None:
        """End the call; see `Lease.leave`."""
        if self._left:
            return
        self._left = True
        self._here.leave(tokens_used)
        taken = self._taken
        more = 0 if taken is None else excess(self.caller.limits, taken, tokens_used)
        self._limiter.leave(self, more)


def _keys(caller: Caller) -> tuple[str, str, str]:
    """Return the names on the server; the braces keep an account's on one node of a cluster."""
    account = f"llmbase:{{{caller.account_id}}}"
    key = f"{account}:key:{caller.key_id}"
    return f"{account}:active", f"{key}:active", f"{key}:rates"


def _rates(caller: Caller) -> tuple[str, str]:
    requests, tokens = caller.limits.rates
    return str(requests), str(tokens)
