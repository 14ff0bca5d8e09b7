"""Reservations live as long as their process: it renews them; what nobody renews lapses."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from functools import partial
from typing import NoReturn

from service.accounts.settling import Change
from service.accounts.transactions import transact
from service.store.database import Database
from service.store.direct import StoreDown
from service.store.steps import Step, Steps
from telemetry.metrics import LAPSED, Metrics

_LOG = logging.getLogger("llmbase.accounts")

LAPSE = 600  # seconds after the last renewal
_ROUND = LAPSE // 3
_SOON = 5  # seconds until the store is asked again when it was away
_MOST = 500  # rows of one transaction

_THERE = "SELECT call_id FROM reservations WHERE call_id = ANY($1)"
# Rows that are locked are just being settled, or lapse: there is nothing to wait for.
_MINE = (
    "SELECT call_id FROM reservations WHERE call_id = ANY($1) AND state = 'open' "
    "FOR UPDATE SKIP LOCKED"
)
_RENEW = "UPDATE reservations SET renewed = $2 WHERE call_id = $1"
_OLD = (
    "SELECT call_id, account_id, key_id, prepaid, period, amount_nanos FROM reservations "
    "WHERE state = 'open' AND renewed <= $1 ORDER BY renewed LIMIT $2 FOR UPDATE SKIP LOCKED"
)
_LAPSE = "UPDATE reservations SET state = 'unsettled' WHERE call_id = $1"


class Renewal:
    """`held` has the calls that this process holds money for; `now` gives Unix seconds."""

    def __init__(
        self, database: Database, held: set[str], now: Callable[[], float], metrics: Metrics
    ) -> None:
        self._database = database
        self._held = held
        self._now = now
        self._metrics = metrics
        self._up_since: float | None = None  # since when every renewal was written

    async def run(self) -> NoReturn:
        """Renew, and let lapse, three times in the life of a reservation."""
        pause = 0
        while True:
            await asyncio.sleep(pause)
            pause = _ROUND if await self.round() else _SOON

    async def round(self) -> bool:
        """Renew what this process holds, lapse what is old; return whether the store was there.

        After the store was away, all processes get the time of a round to renew: a call that runs
        never lapses.
        """
        began = self._now()
        try:
            await self.renew()
            if self._up_since is None:
                self._up_since = began
            if began - self._up_since >= _ROUND:
                while await self.lapse() == _MOST:
                    pass
        except StoreDown as error:
            _LOG.warning("store is away", extra={"detail": str(error)})
        except Exception as error:  # whatever it is: without the next round, open calls would lapse
            _LOG.error("cannot renew", extra={"detail": type(error).__name__})
        else:
            return True
        self.interrupted()
        return False

    def interrupted(self) -> None:
        """The store was away."""
        self._up_since = None

    async def renew(self) -> None:
        """Say of everything that this process holds that it is alive. Raises StoreDown.

        What is no longer there is struck from `held`: another process has found it in the spool.
        """
        held, now = sorted(self._held), int(self._now())
        for i in range(0, len(held), _MOST):
            some = held[i : i + _MOST]
            body = partial(_renew, some, now)
            there = await transact(self._database, self._metrics, "renew", body)
            self._held.difference_update(set(some) - there)

    async def lapse(self) -> int:
        """Free the money of what was not renewed in time; return of how many. Raises StoreDown."""
        body = partial(_lapse, int(self._now()) - LAPSE)
        lapsed = await transact(self._database, self._metrics, "lapse", body)
        self._metrics.count(LAPSED, lapsed)
        return lapsed


def _renew(ids: list[str], now: int) -> Steps[set[str]]:
    mine = yield Step(_MINE, [ids])
    if mine:
        yield Step(_RENEW, [(call_id, now) for (call_id,) in mine], many=True)
    there = yield Step(_THERE, [ids])  # without a lock: what is just being settled is there, too
    return {call_id for (call_id,) in there}


def _lapse(until: int) -> Steps[int]:
    rows = yield Step(_OLD, [until, _MOST])
    if rows:
        yield Step(_LAPSE, [(call_id,) for call_id, *_ in rows], many=True)
        change = Change()
        for _, *held in rows:
            change.free(*held)
        yield from change.steps()
    return len(rows)
