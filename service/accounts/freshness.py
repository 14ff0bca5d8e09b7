"""How long what was read from the store holds: until its revision changes, or nobody has looked."""

from __future__ import annotations

import logging
import math
from collections.abc import Callable

_LOG = logging.getLogger("llmbase.accounts")


class Freshness:
    """What was read under the newest revision holds for `age` seconds after that was last seen.

    Every reading brings the revision that it found, and so says for all the others whether they
    still hold. `clock` gives monotonic seconds. Pure, but for a log line.
    """

    def __init__(self, age: float, clock: Callable[[], float]) -> None:
        self.age = age
        self._clock = clock
        self._revision = -1
        self._as_of = -math.inf
        self._away_until = -math.inf
        self._lost = False

    def holds(self, revision: int) -> bool:
        """Whether what was read under a revision can be believed without another look."""
        return revision == self._revision and self._clock() - self._as_of <= self.age

    def saw(self, revision: int, began: float) -> None:
        """Take note of what a reading found that began at `began`. It may have been overtaken."""
        if self._lost:
            _LOG.info("the store is back")
        self._lost, self._away_until = False, -math.inf
        if began > self._as_of or (began == self._as_of and revision > self._revision):
            self._revision, self._as_of = revision, began

    def changed(self, revision: int) -> None:
        """Take note of a change of our own: whatever was read before it no longer holds."""
        self._revision, self._as_of = revision, self._clock()

    def lost(self) -> None:
        """Take note that the store did not answer: for a while it is not asked."""
        if not self._lost:
            _LOG.warning("the store does not answer; known keys go on")
        self._lost = True
        self._away_until = self._clock() + self.age / 2

    @property
    def is_away(self) -> bool:
        """Whether the store need not be asked: it did not answer a moment ago."""
        return self._clock() < self._away_until
