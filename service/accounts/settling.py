"""What is written when calls are over: one row of the ledger for each, and money that comes free.

Locks are taken in one order everywhere: reservations, accounts, key_spend, each sorted.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from sqlalchemy import BindParameter, TextClause, bindparam, delete, insert, select, text
from sqlalchemy.ext.asyncio import AsyncConnection

from service.accounts.periods import day, period_of
from service.accounts.records import Reservation, Settlement
from service.money import MOST, Nanos
from service.store.tables import LEDGER, RESERVATIONS

_IDS: BindParameter[Sequence[str]] = bindparam("ids", expanding=True)
_KNOWN = select(LEDGER.c.call_id).where(LEDGER.c.call_id.in_(_IDS))
_HELD = (
    delete(RESERVATIONS)
    .where(RESERVATIONS.c.call_id.in_(_IDS))
    .returning(
        RESERVATIONS.c.call_id,
        RESERVATIONS.c.account_id,
        RESERVATIONS.c.key_id,
        RESERVATIONS.c.prepaid,
        RESERVATIONS.c.period,
        RESERVATIONS.c.amount_nanos,
        RESERVATIONS.c.state,
    )
)
_LEDGER = insert(LEDGER)
_ACCOUNT = text(
    "UPDATE accounts SET balance_nanos = balance_nanos - :cost, "
    "reserved_nanos = reserved_nanos - :held WHERE id = :id"
)
_KEY = text(
    "INSERT INTO key_spend (key_id, period, spent_nanos, reserved_nanos) "
    "VALUES (:id, :period, :cost, 0) ON CONFLICT (key_id, period) DO UPDATE SET "
    "spent_nanos = key_spend.spent_nanos + :cost, "
    "reserved_nanos = key_spend.reserved_nanos - :held"
)


class Change:
    """By how much accounts and keys have spent more, and hold less."""

    def __init__(self) -> None:
        self._cost: defaultdict[tuple[str, ...], int] = defaultdict(int)
        self._held: defaultdict[tuple[str, ...], int] = defaultdict(int)

    def settle(self, settlement: Settlement) -> None:
        """A call has cost something."""
        cost, held = charged(settlement), settlement.reservation
        self._cost[settlement.account_id,] += cost
        if held is not None and held.cap is not None:
            self._cost[held.key_id, period_of(held.cap.period, held.created)] += cost

    def free(self, row: Any) -> None:
        """A reservation that was open is no more."""
        if row.prepaid:
            self._held[row.account_id,] += row.amount_nanos
        if row.period is not None:
            self._held[row.key_id, row.period] += row.amount_nanos

    async def write(self, connection: AsyncConnection) -> None:
        """Change the accounts, and what is spent of caps."""
        for statement, rows in ((_ACCOUNT, self._rows(1)), (_KEY, self._rows(2))):
            if rows:
                await _many(connection, statement, rows)

    def _rows(self, parts: int) -> list[dict[str, Any]]:
        keys = sorted({key for key in (*self._cost, *self._held) if len(key) == parts})
        return [
            {"id": key[0], "cost": self._cost[key], "held": self._held[key]}
            | ({"period": key[1]} if parts > 1 else {})
            for key in keys
        ]


async def write(
    connection: AsyncConnection,
    settlements: Iterable[Settlement],
    releases: Iterable[Reservation],
) -> list[Settlement]:
    """Settle and release in one transaction; return what has not been in the ledger before."""
    unique: Mapping[str, Settlement] = {it.call_id: it for it in settlements}
    known = await _ids(connection, unique) if unique else frozenset()
    new = [it for call_id, it in unique.items() if call_id not in known]
    change = Change()
    over = sorted({it.call_id for it in releases} | {it.call_id for it in new if it.reservation})
    if over:
        for row in await connection.execute(_HELD, {"ids": over}):
            if row.state == "open":
                change.free(row)
    if new:
        await connection.execute(_LEDGER, [_row(it) for it in new])
        for settlement in new:
            change.settle(settlement)
    await change.write(connection)
    return new


def charged(settlement: Settlement) -> Nanos:
    """Return the cost as the store can hold it."""
    return min(settlement.cost, MOST)


async def _ids(connection: AsyncConnection, call_ids: Iterable[str]) -> frozenset[str]:
    found = await connection.execute(_KNOWN, {"ids": list(call_ids)})
    return frozenset(found.scalars())


async def _many(
    connection: AsyncConnection, statement: TextClause, rows: list[dict[str, Any]]
) -> None:
    await connection.execute(statement, rows if len(rows) > 1 else rows[0])


def _row(it: Settlement) -> dict[str, Any]:
    usage = it.usage
    return {
        "call_id": it.call_id,
        "request_id": it.request_id,
        "account_id": it.account_id,
        "key_id": it.key_id,
        "ended": it.ended,
        "day": day(it.ended),
        "outcome": it.outcome,
        "requested_model": it.requested_model,
        "served_model": it.served_model,
        "provider": it.provider,
        "prompt_tokens": usage.prompt_tokens,
        "cached_tokens": usage.cached_tokens,
        "cache_write_tokens": usage.cache_write_tokens,
        "completion_tokens": usage.completion_tokens,
        "reasoning_tokens": usage.reasoning_tokens,
        "estimated": usage.estimated,
        "price_version": it.price_version,
        "reserved_nanos": it.reservation.amount if it.reservation is not None else 0,
        "cost_nanos": charged(it),
        "excess_nanos": min(it.excess, MOST),
        "provider_nanos": it.provider_cost and min(it.provider_cost, MOST),
    }
