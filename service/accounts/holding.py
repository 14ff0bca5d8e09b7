"""How money is held, in one transaction for a group of calls.

What all of them want is added first and looked at then: nobody sees what is not committed. What is
too much is taken back and its calls are tried one by one, so that nobody is refused while there is
money for it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, TypeVar

from service.accounts.periods import period_of
from service.accounts.purses import Accounts, Caps, Purses
from service.accounts.records import Reservation
from service.errors import Error
from service.money import MOST
from service.store.steps import Step, Steps, insertion
from service.store.tables import RESERVATIONS

K = TypeVar("K")

_HIGHEST = MOST // 4  # that is added at once: no sum in a column can grow too large for it
_HELD = insertion(RESERVATIONS)


@dataclass(slots=True)
class Outcome:
    """What has become of a group. Those to be tried `again` were refused money that is back."""

    refused: dict[str, Error] = field(default_factory=dict)
    again: list[Reservation] = field(default_factory=list)


def hold(group: Sequence[Reservation]) -> Steps[Outcome]:
    """Hold the money of as many of the group as possible, each of them wholly or not at all."""
    outcome, accounts = Outcome(), Accounts(group)
    yield from _share(accounts, outcome.refused)
    poor = set(outcome.refused)
    yield from _share(Caps([it for it in group if it.call_id not in poor]), outcome.refused)
    back: dict[str, int] = {}
    for it in group:
        if it.prepaid and it.call_id in outcome.refused and it.call_id not in poor:
            back[it.account_id] = back.get(it.account_id, 0) - it.amount
    if back:
        yield accounts.add(back)
    outcome.again = [it for it in group if it.call_id in poor and it.account_id in back]
    for it in outcome.again:
        del outcome.refused[it.call_id]
    left_out = outcome.refused.keys() | {it.call_id for it in outcome.again}
    rows = [_row(it) for it in group if it.call_id not in left_out]
    if rows:
        yield Step(_HELD, rows, many=True)
    return outcome


def _share(purses: Purses[K], refused: dict[str, Error]) -> Steps[None]:
    """Hold what calls want, and refuse those for which there is no room."""
    if len(purses.wanted) == 1:
        # There is no order to keep to, and one statement less.
        [(key, calls)] = purses.wanted.items()
        over = [] if (yield from _fits(purses, key, calls)) else [key]
    elif purses.wanted:
        sums = {key: _sum(calls) for key, calls in purses.wanted.items()}
        huge = {key for key, amount in sums.items() if amount > _HIGHEST}
        yield purses.add({key: 0 if key in huge else amount for key, amount in sums.items()})
        fitting = yield from purses.fitting()
        over = [key for key in sums if key in huge or key not in fitting]
        if over:
            yield purses.add({key: 0 if key in huge else -sums[key] for key in over})
    else:
        return
    for key in over:
        calls = purses.wanted[key]
        for it in calls:
            if (len(calls) == 1 and len(purses.wanted) == 1) or not (
                yield from _fits(purses, key, [it])
            ):
                refused[it.call_id] = purses.refusal(it)


def _fits(purses: Purses[K], key: K, calls: Sequence[Reservation]) -> Steps[bool]:
    amount = _sum(calls)
    return amount <= _HIGHEST and (yield from purses.add_if(key, amount, calls))


def _sum(calls: Sequence[Reservation]) -> int:
    return sum(it.amount for it in calls)


def _row(it: Reservation) -> tuple[Any, ...]:
    """Return the row, in the order of the columns."""
    return (
        it.call_id,
        it.request_id,
        it.account_id,
        it.key_id,
        it.prepaid,
        period_of(it.cap.period, it.created) if it.cap is not None else None,
        it.model,
        it.amount,
        it.price_version,
        it.created,
        it.created,
        "open",
    )
