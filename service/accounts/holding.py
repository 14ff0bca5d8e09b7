"""How money is held: conditional updates in one transaction for a group of calls.

A group that fits as a whole costs one update for each account and key; one that does not is tried
call by call, so that nobody is refused while there is money for it.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any

from sqlalchemy import insert, text
from sqlalchemy.ext.asyncio import AsyncConnection

from service.accounts.periods import period_of
from service.accounts.records import Reservation
from service.errors import Error, InsufficientBalance, QuotaViolation, SpendCapReached
from service.money import MOST
from service.store.tables import RESERVATIONS

_ACCOUNT = text(
    "UPDATE accounts SET reserved_nanos = reserved_nanos + :amount "
    "WHERE id = :id AND balance_nanos - reserved_nanos >= :amount"
)
_BACK = text("UPDATE accounts SET reserved_nanos = reserved_nanos - :amount WHERE id = :id")
# The first call of a period makes the row; that it fits under the cap alone is known by then.
_KEY = text(
    "INSERT INTO key_spend (key_id, period, spent_nanos, reserved_nanos) "
    "VALUES (:id, :period, 0, :amount) ON CONFLICT (key_id, period) DO UPDATE SET "
    "reserved_nanos = key_spend.reserved_nanos + :amount "
    "WHERE key_spend.spent_nanos + key_spend.reserved_nanos + :amount <= :cap"
)
_HELD = insert(RESERVATIONS)

_Fits = Callable[[int], Awaitable[bool]]


@dataclass(slots=True)
class Outcome:
    """What has become of a group. Those to be tried `again` were refused money that is back."""

    refused: dict[str, Error] = field(default_factory=dict)
    again: list[Reservation] = field(default_factory=list)


async def hold(connection: AsyncConnection, group: Sequence[Reservation]) -> Outcome:
    """Hold the money of as many of the group as possible, each of them wholly or not at all."""
    outcome = Outcome()
    for account_id, wanted in _by_account(group):
        fits = _account(connection, account_id)
        for it in await _without_room(wanted, fits):
            outcome.refused[it.call_id] = _insufficient(it)
    back: set[str] = set()
    for (key_id, period, cap), wanted in _by_key(group, outcome.refused):
        fits = _key(connection, key_id, period, cap)
        for it in await _without_room(wanted, fits):
            outcome.refused[it.call_id] = _capped(it)
            if it.prepaid:
                await connection.execute(_BACK, {"id": it.account_id, "amount": it.amount})
                back.add(it.account_id)
    for it in group:
        if it.account_id in back and isinstance(outcome.refused.get(it.call_id), _NO_MONEY):
            outcome.again.append(it)
            del outcome.refused[it.call_id]
    left_out = {it.call_id for it in outcome.again} | outcome.refused.keys()
    rows = [_row(it) for it in group if it.call_id not in left_out]
    if rows:
        await connection.execute(_HELD, rows)
    return outcome


_NO_MONEY = InsufficientBalance


def _by_account(group: Sequence[Reservation]) -> list[tuple[str, list[Reservation]]]:
    accounts: dict[str, list[Reservation]] = {}
    for it in group:
        if it.prepaid:
            accounts.setdefault(it.account_id, []).append(it)
    return sorted(accounts.items())


def _by_key(
    group: Sequence[Reservation], refused: Iterable[str]
) -> list[tuple[tuple[str, str, int], list[Reservation]]]:
    keys: dict[tuple[str, str, int], list[Reservation]] = {}
    for it in group:
        if it.cap is not None and it.call_id not in refused:
            period = period_of(it.cap.period, it.created)
            keys.setdefault((it.key_id, period, it.cap.amount), []).append(it)
    return sorted(keys.items())


async def _without_room(wanted: Sequence[Reservation], fits: _Fits) -> list[Reservation]:
    if await fits(sum(it.amount for it in wanted)):
        return []
    if len(wanted) == 1:
        return list(wanted)
    return [it for it in wanted if not await fits(it.amount)]


def _account(connection: AsyncConnection, account_id: str) -> _Fits:
    async def fits(amount: int) -> bool:
        if amount > MOST:
            return False
        row = {"id": account_id, "amount": amount}
        return (await connection.execute(_ACCOUNT, row)).rowcount == 1

    return fits


def _key(connection: AsyncConnection, key_id: str, period: str, cap: int) -> _Fits:
    async def fits(amount: int) -> bool:
        if amount > cap:
            return False
        row = {"id": key_id, "period": period, "amount": amount, "cap": cap}
        return (await connection.execute(_KEY, row)).rowcount == 1

    return fits


def _insufficient(it: Reservation) -> Error:
    message = "The account's balance does not cover what the request may cost."
    return InsufficientBalance(
        message, quotas=(QuotaViolation(f"account:{it.account_id}", message),)
    )


def _capped(it: Reservation) -> Error:
    message = "What the request may cost does not fit under the key's spend cap."
    return SpendCapReached(message, quotas=(QuotaViolation(f"key:{it.key_id}", message),))


def _row(it: Reservation) -> dict[str, Any]:
    return {
        "call_id": it.call_id,
        "request_id": it.request_id,
        "account_id": it.account_id,
        "key_id": it.key_id,
        "prepaid": it.prepaid,
        "period": period_of(it.cap.period, it.created) if it.cap is not None else None,
        "model": it.model,
        "amount_nanos": it.amount,
        "price_version": it.price_version,
        "created": it.created,
        "renewed": it.created,
    }
