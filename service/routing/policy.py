"""How targets are ordered: pure functions, from targets (and chance) to targets."""

from __future__ import annotations

import random
from collections.abc import Callable, Sequence

from service.config import TargetConfig

Policy = Callable[[Sequence[TargetConfig], random.Random], list[TargetConfig]]


def priority(targets: Sequence[TargetConfig], chance: random.Random) -> list[TargetConfig]:
    """As listed."""
    return list(targets)


def weighted(targets: Sequence[TargetConfig], chance: random.Random) -> list[TargetConfig]:
    """Each next place is drawn by weight among those left; weight 0 comes last, as listed.

    Sorting by u ** (1 / weight) draws exactly so (Efraimidis and Spirakis, 2006).
    """
    drawn = sorted(
        (target for target in targets if target.weight),
        key=lambda target: chance.random() ** (1 / target.weight),
        reverse=True,
    )
    return drawn + [target for target in targets if not target.weight]


POLICIES: dict[str, Policy] = {"priority": priority, "weighted": weighted}
