"""How long a target takes to its first content: a peak-sensitive average and two quantiles.

The average is the "peak EWMA" of Finagle's load balancer: it rises to a slow answer at once and
comes down with time. Between answers it decays, so that what was slow once is tried again.
"""

from __future__ import annotations

import math
from collections import deque

_DECAY = 10.0  # seconds in which an old observation falls to about a third
_SAMPLES = 128  # observations that quantiles are taken over
_SLOW = 0.95  # where the slow end begins
_LEAST = 8  # observations below which there are no quantiles
_SORT_EVERY = 8  # new observations
_FORGOTTEN = 60.0  # seconds without an attempt after which what is usual is not known any longer
_NEVER = -math.inf  # monotonic seconds


class Latency:
    """Of one target and one shape of call. Seconds throughout."""

    __slots__ = (
        "_at",
        "_average",
        "_fresh",
        "_middle",
        "_samples",
        "_sorted",
        "_stale",
        "_tried_at",
    )

    def __init__(self) -> None:
        self._average = 0.0
        self._at = self._tried_at = _NEVER
        self._stale = False  # whether nobody had tried for long before the last attempt
        self._samples: deque[float] = deque(maxlen=_SAMPLES)
        self._sorted: list[float] = []
        self._middle: float | None = None  # of the sorted ones
        self._fresh = 0

    def try_again(self, now: float) -> None:
        """An attempt begins."""
        self._stale = now - self._tried_at > _FORGOTTEN
        self._tried_at = now

    def observe(self, seconds: float, now: float) -> None:
        """The first content took so long."""
        self._settle(seconds, now)
        if self._stale and seconds < (self.quantile(0.5) or 0.0) / 2:
            self._samples.clear()  # it is another target than the one that was known
            self._sorted = []
        self._samples.append(seconds)
        self._fresh += 1

    def endure(self, seconds: float, now: float) -> None:
        """There was no content for so long, and we looked no further: at least that slow.

        It says something about the slow end alone. Without it a target whose slow answers are
        never waited for would seem to have none.
        """
        if seconds > (self.average(now) or 0.0):
            self._settle(seconds, now)
        slow = self.quantile(_SLOW)
        if slow is not None and seconds >= slow:
            self._samples.append(seconds)
            self._fresh += 1

    def average(self, now: float) -> float | None:
        """Return the peak-sensitive average; None when nothing was ever seen."""
        if self._at == _NEVER:
            return None
        since = now - self._at
        return self._average * math.exp(-since / _DECAY) if since > 0 else self._average

    def usual(self, now: float) -> float | None:
        """Return the median; None while unknown, and when nobody has tried for long.

        Callers that have no time for a slow target are kept away from it by this figure: without an
        end to it they would be for ever, as nobody would find out that it is fast again.
        """
        if now - self._tried_at > _FORGOTTEN:
            return None
        if self._fresh >= _SORT_EVERY or not self._sorted:
            return self.quantile(0.5)
        return self._middle

    def quantile(self, share: float) -> float | None:
        """Return the time that so large a share of answers stayed below; None while unknown."""
        count = len(self._samples)
        if count < _LEAST or count * (1 - share) < 1 - 1e-9:
            return None  # there must be one above it, too
        if not self._sorted or self._fresh >= _SORT_EVERY:
            self._sorted = sorted(self._samples)
            self._middle = self._below(0.5)
            self._fresh = 0
        return self._below(share)

    def _below(self, share: float) -> float:
        return self._sorted[min(len(self._sorted) - 1, math.ceil(share * len(self._sorted)))]

    def _settle(self, seconds: float, now: float) -> None:
        if seconds >= self._average or self._at == _NEVER:
            self._average = seconds
        else:
            kept = math.exp(-(now - self._at) / _DECAY)
            self._average = self._average * kept + seconds * (1 - kept)
        self._at = now
