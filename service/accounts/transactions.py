"""How the books are written: one transaction at a time, again when the store asks for it."""

from __future__ import annotations

import time
from collections.abc import Awaitable, Callable
from typing import TypeVar

from sqlalchemy.exc import DBAPIError, IntegrityError
from sqlalchemy.ext.asyncio import AsyncConnection

from service.store.database import Database, StoreDown
from telemetry.metrics import STORE_TRANSACTION, Metrics

T = TypeVar("T")

_ATTEMPTS = 8
_AGAIN = frozenset({"40001", "40P01"})  # serialization failure, deadlock
_BAD = frozenset({"22", "23"})  # classes: data that a column cannot hold, constraints


class Contradiction(Exception):
    """What was written is against the tables' rules: twice the same, or for nobody."""


class Unsure(StoreDown):
    """The store went away while it was told to commit: nobody knows whether it did."""


async def transact(
    database: Database,
    metrics: Metrics,
    work: str,
    body: Callable[[AsyncConnection], Awaitable[T]],
) -> T:
    """Return what `body` returns, after its transaction is done. It may be run more than once.

    `work` is a label of the metric. Raises StoreDown, Unsure, Contradiction.
    """
    began = time.perf_counter()
    for attempt in range(1, _ATTEMPTS + 1):
        written = False
        try:
            async with database.transaction() as connection:
                result = await body(connection)
                written = True
        except StoreDown as error:
            _sort(error, written, last=attempt == _ATTEMPTS)
            continue
        except (ValueError, TypeError, OverflowError) as error:  # a driver's word for a bad value
            raise Contradiction(type(error).__name__) from error
        metrics.observe(STORE_TRANSACTION, time.perf_counter() - began, work=work)
        return result
    raise AssertionError("unreachable")


def _sort(error: StoreDown, written: bool, *, last: bool) -> None:
    """Return when the transaction is to be tried again, or raise what has become of it."""
    cause = error.__cause__
    original = cause.orig if isinstance(cause, DBAPIError) else None
    state = getattr(original, "sqlstate", None) or ""
    if state in _AGAIN:
        if last:
            raise error
    elif (
        isinstance(cause, IntegrityError)
        or state[:2] in _BAD
        or isinstance(getattr(original, "__cause__", None), ValueError)
    ):
        raise Contradiction(str(error)) from error
    elif written:
        raise Unsure(str(error)) from error
    else:
        raise error
