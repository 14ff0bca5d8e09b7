"""How targets are ordered: pure functions of how they stand, a draw and the session.

A draw is one random number per call; with it and the standings every order can be made again.
"""

from __future__ import annotations

import math
import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from hashlib import blake2b

_EXPLORE = 0.05  # share of calls that do not look at speed, so that what was slow is seen again
_BOUND = 1.25  # times the average load that a session's own target may have


@dataclass(slots=True)
class Standing:
    """A target as a policy sees it.

    `name` tells it from the others; `current_weight` is smooth weighting's running score; `price`
    is in nano-dollars for a million prompt and a million completion tokens; `first_content` is the
    average time to it, in seconds; `available` says whether its breaker lets it take part.
    """

    name: str
    weight: int = 1
    current_weight: int = 0
    price: int | None = None
    in_flight: int = 0
    first_content: float | None = None
    available: bool = True


Policy = Callable[[Sequence[Standing], random.Random], list[int]]


def order(
    policy: str, standings: Sequence[Standing], draw: int, session: int | None = None
) -> list[int]:
    """Return the indexes of the targets in the order in which they are tried.

    A `session` keeps to one target under the policies that spread calls, so that the provider's
    prompt cache stays warm, as long as that target is not loaded much above the average.
    """
    if len(standings) == 1:
        return [0]
    ordered = POLICIES[policy](standings, random.Random(draw))  # noqa: S311 - not a secret
    if session is None or policy not in SPREADING:
        return ordered
    return _with_affinity(standings, ordered, session)


def priority(standings: Sequence[Standing], chance: random.Random) -> list[int]:
    """As listed."""
    return list(range(len(standings)))


def weighted(standings: Sequence[Standing], chance: random.Random) -> list[int]:
    """Smooth weighted round robin, as nginx does it; weight 0 comes last, as listed."""
    return sorted(
        range(len(standings)),
        key=lambda i: (
            not standings[i].weight,
            -(standings[i].current_weight + standings[i].weight),
        ),
    )


def fastest(standings: Sequence[Standing], chance: random.Random) -> list[int]:
    """The better of two drawn at random; then the rest, best first.

    Two choices instead of the best: all callers of all replicas would run to the same target.
    """
    indexes = list(range(len(standings)))
    drawn = chance.sample(indexes, 2)
    if chance.random() >= _EXPLORE:
        drawn.sort(key=lambda i: _load(standings[i]))
    first = drawn[0]
    rest = sorted((i for i in indexes if i != first), key=lambda i: _load(standings[i]))
    return [first, *rest]


def cheapest(standings: Sequence[Standing], chance: random.Random) -> list[int]:
    """By price; what has none comes last; equals as listed."""
    return sorted(
        range(len(standings)),
        key=lambda i: (standings[i].price is None, standings[i].price or 0),
    )


POLICIES: dict[str, Policy] = {
    "priority": priority,
    "weighted": weighted,
    "fastest": fastest,
    "cheapest": cheapest,
}
SPREADING = frozenset({"weighted", "fastest"})


def next_weights(standings: Sequence[Standing], chosen: int) -> list[int]:
    """Return the running scores of smooth weighting after `chosen` was taken."""
    total = sum(standing.weight for standing in standings)
    scores = [standing.current_weight + standing.weight for standing in standings]
    scores[chosen] -= total
    return scores


def session(key: str) -> int:
    """Return a session's number: it says where the session goes, and not who it is."""
    return int.from_bytes(blake2b(key.encode(), digest_size=8).digest(), "big")


def _load(standing: Standing) -> float:
    return (standing.first_content or 0.0) * (standing.in_flight + 1)


def _with_affinity(standings: Sequence[Standing], ordered: list[int], session: int) -> list[int]:
    """Put the session's own target first: weighted rendezvous hashing with bounded loads."""
    able = [i for i in ordered if standings[i].weight]
    if not able:
        return ordered
    own = sorted(able, key=lambda i: _distance(standings[i], session))
    share = (sum(standings[i].in_flight for i in able) + 1) / sum(standings[i].weight for i in able)
    for i in own:
        # A target that is alone with its load is never too loaded for one more call.
        if standings[i].in_flight + 1 <= math.ceil(_BOUND * share * standings[i].weight):
            return [i, *(j for j in ordered if j != i)]
    return ordered


def _distance(standing: Standing, session: int) -> float:
    digest = blake2b(standing.name.encode(), digest_size=8, key=session.to_bytes(8, "big")).digest()
    uniform = (int.from_bytes(digest, "big") + 1) / (2**64 + 1)
    return -math.log(uniform) / standing.weight
