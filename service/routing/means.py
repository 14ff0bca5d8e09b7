"""What every call of a dispatcher uses: clocks, chance, and where is counted."""

from __future__ import annotations

import random
from collections.abc import Callable
from dataclasses import dataclass

from telemetry.metrics import ATTEMPTS, Metrics
from telemetry.registry import AllSeries


@dataclass(frozen=True, slots=True)
class Means:
    """`now` gives Unix seconds, `clock` monotonic ones."""

    now: Callable[[], float]
    clock: Callable[[], float]
    chance: random.Random
    metrics: Metrics
    attempts: AllSeries  # by provider, purpose and outcome

    @classmethod
    def of(
        cls,
        now: Callable[[], float],
        clock: Callable[[], float],
        chance: random.Random,
        metrics: Metrics,
    ) -> Means:
        """Return the means, with the series of all attempts at hand."""
        attempts = metrics.of(ATTEMPTS, "provider", "purpose", "outcome")
        return cls(now, clock, chance, metrics, attempts)
