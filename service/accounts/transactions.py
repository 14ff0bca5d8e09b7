"""How the books are written: one transaction at a time, again when the store asks for it."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import TypeVar

from service.store.database import Database
from service.store.direct import Conflict
from service.store.steps import Steps
from telemetry.metrics import STORE_TRANSACTION, Metrics

T = TypeVar("T")

_ATTEMPTS = 8


async def transact(
    database: Database, metrics: Metrics, work: str, steps: Callable[[], Steps[T]]
) -> T:
    """Return the result of `steps`, after its transaction is done. It may be run more than once.

    `work` is a label of the metric. Raises StoreDown, Unsure, Contradiction.
    """
    began = time.perf_counter()
    for attempt in range(1, _ATTEMPTS + 1):
        try:
            result = await database.run(steps)
        except Conflict:
            if attempt == _ATTEMPTS:
                raise
            continue
        metrics.observe(STORE_TRANSACTION, time.perf_counter() - began, work=work)
        return result
    raise AssertionError("unreachable")
