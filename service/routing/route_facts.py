"""How an answer came about, also where another llmbase stands between. Pure.

The caller knows our models only, so `served_model` stays ours; that another of theirs answered is
said by `fallback_applied`, and by the chain, whose last model is the one that answered in the end.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence

from llmbase.v1.chat_completion_pb2 import RouteFacts

_MOST_NAMES = 16  # of one list: they travel in headers, of which there are 8 KiB
_LONGEST = 128
_UNPLAIN = re.compile(r"[^!-+\--~]")  # what an id may not hold: a comma, and all but visible ASCII


def tell_fallback(route: RouteFacts, requested: str, models: Sequence[str]) -> None:
    """Write that the last of these models has answered for the requested one."""
    route.requested_model = requested
    route.fallback_applied = True
    route.fallback_reason = "model_unavailable"
    route.fallback_chain.extend(models)


def joined(ours: RouteFacts, theirs: RouteFacts | None, *, silent: bool = False) -> RouteFacts:
    """Return the route as a whole; `theirs` is None, or empty, where nobody stands between.

    The provider is `ours/theirs`, attempts add up (the one that reached them is counted once), and
    ignored parameters are united, unless the model's policy is to be `silent` of them.
    """
    if theirs is None:
        return ours
    route = RouteFacts()
    route.CopyFrom(ours)
    if theirs.provider:
        route.provider = f"{ours.provider}/{_plain(theirs.provider)}"
    route.attempts += max(theirs.attempts, 1) - 1
    if theirs.fallback_applied:
        _add_fallback(route, theirs)
    if not silent:
        known = set(ours.ignored_parameters)
        new = dict.fromkeys(name for name in theirs.ignored_parameters if name not in known)
        route.ignored_parameters.extend(_names(new))
    return route


def _add_fallback(route: RouteFacts, theirs: RouteFacts) -> None:
    if not route.fallback_applied:
        route.fallback_applied = True
        route.fallback_reason = _plain(theirs.fallback_reason)
        route.fallback_chain.append(route.served_model)
    # The first of theirs is the model we asked for: it is in the chain by our name for it.
    route.fallback_chain.extend(_names(theirs.fallback_chain[1:]))


def _names(names: Iterable[str]) -> list[str]:
    return [_plain(name) for name in names][:_MOST_NAMES]


def _plain(text: str) -> str:
    """Return the text as it can stand in a header: it is not ours, so it could be anything."""
    return _UNPLAIN.sub("?", text[:_LONGEST])
