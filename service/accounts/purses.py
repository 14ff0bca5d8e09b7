"""Where money is held: accounts, and what is spent of keys' caps. The statements of both. Pure."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Collection, Mapping, Sequence
from typing import Generic, TypeVar

from service.accounts.periods import period_of
from service.accounts.records import Reservation
from service.errors import Error, InsufficientBalance, QuotaViolation, SpendCapReached
from service.store.steps import Step, Steps

K = TypeVar("K")

_ADD = "UPDATE accounts SET reserved_nanos = reserved_nanos + $2 WHERE id = $1"
_ADD_IF = _ADD + " AND balance_nanos - reserved_nanos >= $2 RETURNING id"
_FIT = "SELECT id FROM accounts WHERE id = ANY($1) AND reserved_nanos <= balance_nanos"
# The first call of a period makes the row.
_KEY_ADD = (
    "INSERT INTO key_spend (key_id, period, spent_nanos, reserved_nanos) VALUES ($1, $2, 0, $3) "
    "ON CONFLICT (key_id, period) DO UPDATE SET reserved_nanos = key_spend.reserved_nanos + $3"
)
_KEY_ADD_IF = (
    _KEY_ADD + " WHERE key_spend.spent_nanos + key_spend.reserved_nanos + $3 <= $4 RETURNING key_id"
)
_KEY_SUMS = (
    "SELECT key_id, period, spent_nanos + reserved_nanos FROM key_spend WHERE key_id = ANY($1)"
)


class Purses(ABC, Generic[K]):
    """Purses of one kind, each with its key, and the calls that want money held there."""

    wanted: dict[K, list[Reservation]]

    @abstractmethod
    def add(self, amounts: Mapping[K, int]) -> Step:
        """Hold so much more, whether or not it is there. Locks them in their order."""

    @abstractmethod
    def fitting(self) -> Steps[Collection[K]]:
        """Return which of them hold no more than they have."""

    @abstractmethod
    def add_if(self, key: K, amount: int, calls: Sequence[Reservation]) -> Steps[bool]:
        """Hold so much more for calls if it is there; return whether it was."""

    @abstractmethod
    def refusal(self, call: Reservation) -> Error:
        """Return what a call is told that has no room."""


class Accounts(Purses[str]):
    """Accounts that are prepaid, by their ids."""

    def __init__(self, group: Sequence[Reservation]) -> None:
        self.wanted = {}
        for it in group:
            if it.prepaid:
                self.wanted.setdefault(it.account_id, []).append(it)

    def add(self, amounts: Mapping[str, int]) -> Step:
        """Hold so much more, there or not."""
        return Step(_ADD, sorted(amounts.items()), many=True)

    def fitting(self) -> Steps[Collection[str]]:
        """Return those that hold no more than they have."""
        rows = yield Step(_FIT, [list(self.wanted)])
        return {account_id for (account_id,) in rows}

    def add_if(self, key: str, amount: int, calls: Sequence[Reservation]) -> Steps[bool]:
        """Hold so much more if it is there."""
        return bool((yield Step(_ADD_IF, [key, amount])))

    def refusal(self, call: Reservation) -> Error:
        """Return what a call is told that has no room."""
        message = "The account's balance does not cover what the request may cost."
        return InsufficientBalance(
            message, quotas=(QuotaViolation(f"account:{call.account_id}", message),)
        )


class Caps(Purses[tuple[str, str]]):
    """What is spent of keys' caps, by key and period."""

    def __init__(self, group: Sequence[Reservation]) -> None:
        self.wanted = {}
        for it in group:
            if it.cap is not None:
                period = period_of(it.cap.period, it.created)
                self.wanted.setdefault((it.key_id, period), []).append(it)

    def add(self, amounts: Mapping[tuple[str, str], int]) -> Step:
        """Hold so much more, there or not."""
        rows = [(*key, amount) for key, amount in sorted(amounts.items())]
        return Step(_KEY_ADD, rows, many=True)

    def fitting(self) -> Steps[Collection[tuple[str, str]]]:
        """Return those that hold no more than they have."""
        rows = yield Step(_KEY_SUMS, [[key_id for key_id, _ in self.wanted]])
        return {
            (key_id, period)
            for key_id, period, total in rows
            if (key_id, period) in self.wanted and total <= _cap(self.wanted[key_id, period])
        }

    def add_if(
        self, key: tuple[str, str], amount: int, calls: Sequence[Reservation]
    ) -> Steps[bool]:
        """Hold so much more if it is there."""
        cap = _cap(calls)
        if amount > cap:  # where there is no row yet, nothing else would say so
            return False
        return bool((yield Step(_KEY_ADD_IF, [*key, amount, cap])))

    def refusal(self, call: Reservation) -> Error:
        """Return what a call is told that has no room."""
        message = "What the request may cost does not fit under the key's spend cap."
        return SpendCapReached(message, quotas=(QuotaViolation(f"key:{call.key_id}", message),))


def _cap(calls: Sequence[Reservation]) -> int:
    """Return the least cap of calls of one key: it can have been changed between two of them."""
    return min(it.cap.amount for it in calls if it.cap is not None)
