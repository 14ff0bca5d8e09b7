"""Transactions by the driver itself: they are on the path of every call that is paid for, where
SQLAlchemy would cost more than the database.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol, TypeVar

from service.store.steps import Steps

T = TypeVar("T")

# What the store wants tried again: serialization failures and deadlocks.
AGAIN = frozenset({"40001", "40P01"})
# Classes of what it will never take: values that a column cannot hold, constraints.
NEVER = frozenset({"22", "23"})


class StoreDown(Exception):
    """The store does not answer, or not as it should."""


class Unsure(StoreDown):
    """The store went away while it was told to commit: nobody knows whether it did."""


class Conflict(StoreDown):
    """Another transaction was in the way; nothing was done, and the same can be tried again."""


class Contradiction(Exception):
    """What was to be written is against the tables' rules: twice the same, or for nobody."""


class Direct(Protocol):
    """One of the two drivers."""

    async def run(self, work: Callable[[], Steps[T]]) -> T:
        """Do one transaction, or nothing of it.

        Raises StoreDown and its kinds, Contradiction, and what `work` raises.
        """

    async def close(self) -> None:
        """Close every connection."""
