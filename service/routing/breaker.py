"""A circuit breaker: after enough failures of one kind, a target is left alone for a while.

Pure but for what it remembers: time and chance are arguments. One breaker stands for one target and
one kind of failure, so that a rate limit says nothing about timeouts.
"""

from __future__ import annotations

import enum
import random
from collections import deque

from service.config import BreakerConfig
from service.errors import FaultKind, ProviderFault

_WINDOW = 20  # outcomes that are remembered
_LEAST = 10  # failures among them that open the breaker, even if successes are in between
_LONGEST_WAIT = 3600.0  # seconds of a provider's Retry-After that are obeyed
_AUTHENTICATION_FACTOR = 15  # a wrong key is not mended in seconds


class State(enum.StrEnum):
    """Whether attempts are made; in the words of traces and metrics."""

    CLOSED = "closed"  # yes
    OPEN = "open"  # no
    HALF_OPEN = "half_open"  # one, to see


# By names of their own: every call asks several times, and a member of an enum is looked for.
CLOSED, OPEN, HALF_OPEN = State.CLOSED, State.OPEN, State.HALF_OPEN


class ErrorClass(enum.Enum):
    """The kinds of failure that are counted apart."""

    CONNECT = "connect"
    SLOW = "slow"
    AUTHENTICATION = "authentication"  # 401, 402, 403: our key or our bill
    MISSING = "missing"  # 404: the provider does not know the model
    RATE_LIMIT = "rate_limit"  # 429
    SERVER = "server"  # 5xx and what else a status can say
    ANSWER = "answer"  # cut, broken, or an error inside the answer


_BY_STATUS = {
    401: ErrorClass.AUTHENTICATION,
    402: ErrorClass.AUTHENTICATION,
    403: ErrorClass.AUTHENTICATION,
    404: ErrorClass.MISSING,
    408: ErrorClass.SLOW,
    429: ErrorClass.RATE_LIMIT,
    504: ErrorClass.SLOW,
}
_BY_KIND = {
    FaultKind.CONNECT: ErrorClass.CONNECT,
    FaultKind.SLOW: ErrorClass.SLOW,
    FaultKind.STATUS: ErrorClass.SERVER,
}


def classify(fault: ProviderFault) -> ErrorClass | None:
    """Return the class of a failure; None for a refused request, which says the target works."""
    if fault.kind is FaultKind.REJECTED:
        return None
    if fault.status in _BY_STATUS:
        return _BY_STATUS[fault.status]
    return _BY_KIND.get(fault.kind, ErrorClass.ANSWER)


class Breaker:
    """Of one target and one error class. Times are monotonic seconds."""

    def __init__(self, kind: ErrorClass, config: BreakerConfig, chance: random.Random) -> None:
        self._kind = kind
        self._config = config
        self._chance = chance
        self._outcomes: deque[bool] = deque(maxlen=_WINDOW)  # from the first failure on
        self._in_a_row = 0
        self._times = 0  # opened since it was last closed
        self._probing = False
        self.until: float | None = None  # when an open breaker lets one attempt pass

    def state(self, now: float) -> State:
        """Return the state, without taking the probe."""
        if self.until is None:
            return CLOSED
        if now < self.until or self._probing:
            return OPEN
        return HALF_OPEN

    def enter(self, now: float) -> bool:
        """An attempt begins; return whether it is the probe of the half-open state."""
        if self.state(now) is not HALF_OPEN:
            return False
        self._probing = True
        return True

    def leave(self) -> None:
        """The probe ended without saying anything, as when the caller left."""
        self._probing = False

    def succeed(self) -> None:
        """The target answered. What it did before its first failure is not remembered."""
        if self._outcomes:
            self._outcomes.append(True)
        self._in_a_row = 0
        self._probing = False
        if self.until is not None:
            self.until = None
            self._times = 0
            self._outcomes.clear()

    def fail(self, now: float, retry_after: float | None = None) -> None:
        """The target failed; `retry_after` is in seconds, as the provider asked."""
        self._outcomes.append(False)
        self._in_a_row += 1
        if retry_after is not None:
            self._probing = False
            until = now + min(retry_after, _LONGEST_WAIT)
            self.until = max(until, self.until or until)
            return
        enough = self._in_a_row >= self._threshold or self._outcomes.count(False) >= _LEAST
        if self._probing or (self.until is None and enough):
            self._probing = False
            self.until = now + self._pause()
            self._times += 1

    @property
    def _threshold(self) -> int:
        return 1 if self._kind is ErrorClass.AUTHENTICATION else self._config.failures

    def _pause(self) -> float:
        """Return seconds: twice as long each time, give or take half (so that replicas differ)."""
        base: float = self._config.open * 2 ** min(self._times, 16)
        if self._kind is ErrorClass.AUTHENTICATION:
            base *= _AUTHENTICATION_FACTOR
        return min(base, self._config.max_open) * (0.5 + self._chance.random())
