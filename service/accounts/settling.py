"""What is written when calls are over: one row of the ledger for each, and money that comes free.

Locks are taken in one order everywhere: reservations, accounts, key_spend, each sorted.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable
from typing import Any

from service.accounts.periods import day, period_of
from service.accounts.records import Reservation, Settlement
from service.money import MOST, Nanos
from service.store.steps import Step, Steps, insertion
from service.store.tables import LEDGER, LONGEST_PROVIDER

_KNOWN = "SELECT call_id FROM ledger WHERE call_id = ANY($1)"
# Whoever else wants these rows skips them: there is nobody to wait for in a circle with.
_HELD = (
    "DELETE FROM reservations WHERE call_id = ANY($1) "
    "RETURNING state, account_id, key_id, prepaid, period, amount_nanos"
)
_LEDGER = insertion(LEDGER)
_ACCOUNT = (
    "UPDATE accounts SET balance_nanos = balance_nanos - $2, reserved_nanos = reserved_nanos - $3 "
    "WHERE id = $1"
)
_KEY = (
    "INSERT INTO key_spend (key_id, period, spent_nanos, reserved_nanos) VALUES ($1, $2, $3, 0) "
    "ON CONFLICT (key_id, period) DO UPDATE SET "
    "spent_nanos = key_spend.spent_nanos + $3, reserved_nanos = key_spend.reserved_nanos - $4"
)


class Change:
    """By how much accounts and keys have spent more, and hold less."""

    def __init__(self) -> None:
        self._accounts: defaultdict[str, list[int]] = defaultdict(lambda: [0, 0])
        self._keys: defaultdict[tuple[str, str], list[int]] = defaultdict(lambda: [0, 0])

    def settle(self, settlement: Settlement) -> None:
        """A call has cost something."""
        cost, held = charged(settlement), settlement.reservation
        self._accounts[settlement.account_id][0] += cost
        if held is not None and held.cap is not None:
            self._keys[held.key_id, period_of(held.cap.period, held.created)][0] += cost

    def free(
        self, account_id: str, key_id: str, prepaid: bool, period: str | None, amount: int
    ) -> None:
        """A reservation that was open is no more."""
        if prepaid:
            self._accounts[account_id][1] += amount
        if period is not None:
            self._keys[key_id, period][1] += amount

    def steps(self) -> Steps[None]:
        """Change the accounts, and what is spent of caps."""
        if self._accounts:
            rows = [(account_id, *change) for account_id, change in sorted(self._accounts.items())]
            yield Step(_ACCOUNT, rows, many=True)
        if self._keys:
            spent = [(*key, *change) for key, change in sorted(self._keys.items())]
            yield Step(_KEY, spent, many=True)


def write(
    settlements: Iterable[Settlement], releases: Iterable[Reservation]
) -> Steps[list[Settlement]]:
    """Settle and release in one transaction; return what has not been in the ledger before."""
    unique = {it.call_id: it for it in settlements}
    found = (yield Step(_KNOWN, [list(unique)])) if unique else ()
    known = {call_id for (call_id,) in found}
    new = [it for call_id, it in unique.items() if call_id not in known]
    change = Change()
    over = {it.call_id for it in releases}.union(it.call_id for it in new if it.reservation)
    if over:
        for state, *held in (yield Step(_HELD, [sorted(over)])):
            if state == "open":
                change.free(*held)
    if new:
        yield Step(_LEDGER, [_row(it) for it in new], many=True)
        for settlement in new:
            change.settle(settlement)
    yield from change.steps()
    return new


def charged(settlement: Settlement) -> Nanos:
    """Return the cost as the store can hold it."""
    return min(settlement.cost, MOST)


def _row(it: Settlement) -> tuple[Any, ...]:
    """Return the ledger's row, in the order of its columns."""
    usage = it.usage
    return (
        it.call_id,
        it.request_id,
        it.account_id,
        it.key_id,
        it.ended,
        day(it.ended),
        it.outcome,
        it.requested_model,
        it.served_model,
        it.provider[:LONGEST_PROVIDER],  # behind another llmbase it is named by that one
        usage.prompt_tokens,
        usage.cached_tokens,
        usage.cache_write_tokens,
        usage.completion_tokens,
        usage.reasoning_tokens,
        usage.estimated,
        it.price_version,
        it.reservation.amount if it.reservation is not None else 0,
        charged(it),
        min(it.excess, MOST),
        it.provider_cost and min(it.provider_cost, MOST),
    )
