"""Reservations live as long as their process: it renews them; what nobody renews lapses."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Collection
from functools import partial
from typing import NoReturn

from sqlalchemy import BindParameter, bindparam, select, text, update
from sqlalchemy.ext.asyncio import AsyncConnection

from service.accounts.settling import Change
from service.accounts.transactions import Contradiction, transact
from service.store.database import Database, StoreDown
from service.store.tables import RESERVATIONS
from telemetry.metrics import LAPSED, Metrics

LAPSE = 600  # seconds after the last renewal
_ROUND = LAPSE // 3
_SOON = 5  # seconds until the store is asked again when it was away
_MOST = 500  # rows of one transaction

_IDS: BindParameter[list[str]] = bindparam("ids", expanding=True)
# Rows that are locked are just being settled, or lapse: there is nothing to wait for.
_MINE = (
    select(RESERVATIONS.c.call_id)
    .where(RESERVATIONS.c.call_id.in_(_IDS), RESERVATIONS.c.state == "open")
    .with_for_update(skip_locked=True)
)
_RENEW = text("UPDATE reservations SET renewed = :now WHERE call_id = :id AND state = 'open'")
_OLD = (
    select(RESERVATIONS)
    .where(RESERVATIONS.c.state == "open", RESERVATIONS.c.renewed <= bindparam("until"))
    .order_by(RESERVATIONS.c.renewed)
    .limit(_MOST)
    .with_for_update(skip_locked=True)
)
_LAPSE = update(RESERVATIONS).where(RESERVATIONS.c.call_id.in_(_IDS)).values(state="unsettled")


class Renewal:
    """`held` has the calls that this process holds money for; `now` gives Unix seconds."""

    def __init__(
        self, database: Database, held: Collection[str], now: Callable[[], float], metrics: Metrics
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
        except (StoreDown, Contradiction):
            self._up_since = None
            return False
        return True

    async def renew(self) -> None:
        """Say of everything that this process holds that it is alive. Raises StoreDown."""
        held, now = sorted(self._held), int(self._now())
        for i in range(0, len(held), _MOST):
            body = partial(_renew, held[i : i + _MOST], now)
            await transact(self._database, self._metrics, "renew", body)

    async def lapse(self) -> int:
        """Free the money of what was not renewed in time; return of how many. Raises StoreDown."""
        body = partial(_lapse, int(self._now()) - LAPSE)
        lapsed = await transact(self._database, self._metrics, "lapse", body)
        self._metrics.count(LAPSED, lapsed)
        return lapsed


async def _renew(ids: list[str], now: int, connection: AsyncConnection) -> None:
    mine = (await connection.execute(_MINE, {"ids": ids})).scalars().all()
    if mine:
        await connection.execute(_RENEW, [{"id": it, "now": now} for it in mine])


async def _lapse(until: int, connection: AsyncConnection) -> int:
    rows = (await connection.execute(_OLD, {"until": until})).all()
    if rows:
        await connection.execute(_LAPSE, {"ids": [row.call_id for row in rows]})
        change = Change()
        for row in rows:
            change.free(row)
        await change.write(connection)
    return len(rows)
