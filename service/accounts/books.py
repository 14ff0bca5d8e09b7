"""Entries are written into the store: all at once, or one by one where one cannot be written."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from functools import partial

from service.accounts import settling, spool_lines
from service.accounts.records import Reservation, Settlement
from service.accounts.spool import Spool
from service.accounts.spool_lines import Entry
from service.accounts.transactions import transact
from service.store.database import Database
from service.store.direct import Contradiction
from telemetry.metrics import EXCESS, LEDGER_REFUSED, RESERVATION_USED, SETTLEMENTS, Metrics

_LOG = logging.getLogger("llmbase.accounts")


class Books:
    """`held` has the calls that this process holds money for; who is written is struck from it."""

    def __init__(self, database: Database, spool: Spool, held: set[str], metrics: Metrics) -> None:
        self._database = database
        self._spool = spool
        self._held = held
        self._metrics = metrics

    async def write(self, entries: Sequence[Entry]) -> None:
        """Write entries, none of them twice; put aside what cannot be written. Raises StoreDown."""
        if not entries:
            return
        try:
            await self._together(entries)
        except Contradiction:
            # Another process may have written one of them meanwhile: it is seen the next time.
            for entry in entries:
                await self._alone(entry)

    async def _together(self, entries: Sequence[Entry]) -> None:
        settlements = [it for it in entries if isinstance(it, Settlement)]
        releases = [it for it in entries if isinstance(it, Reservation)]
        body = partial(settling.write, settlements, releases)
        new = await transact(self._database, self._metrics, "settle", body)
        self._held.difference_update(it.call_id for it in entries)
        self._metrics.count(SETTLEMENTS, len(new))
        for settlement in new:
            self._observe(settlement)

    async def _alone(self, entry: Entry) -> None:
        try:
            await self._together([entry])
        except Contradiction as error:
            _LOG.error(
                "cannot be settled",
                extra={"request_id": entry.request_id, "detail": str(error)},
            )
            self._metrics.count(LEDGER_REFUSED)
            self._held.discard(entry.call_id)
            self.put_aside(spool_lines.encode(entry))

    def put_aside(self, line: bytes) -> None:
        """Keep a line that cannot be written for somebody to look at."""
        try:
            self._spool.refuse(line)
        except OSError as error:
            _LOG.error("spool cannot be written", extra={"detail": type(error).__name__})

    def _observe(self, settlement: Settlement) -> None:
        if settlement.excess:
            self._metrics.count(EXCESS, settlement.excess)
        held = settlement.reservation
        if held is not None and held.amount:
            cost = settlement.cost + settlement.excess
            self._metrics.observe_ratio(RESERVATION_USED, cost, held.amount)
