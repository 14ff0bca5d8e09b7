"""Money is held before a provider is asked: calls that wait together share a transaction."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import NoReturn

from service.accounts.holding import Outcome, hold
from service.accounts.ledger import Ledger
from service.accounts.records import Reservation
from service.accounts.renewing import Renewal
from service.accounts.transactions import transact
from service.errors import Error, InsufficientBalance, ServiceUnavailable, SpendCapReached
from service.store.database import Database
from service.store.direct import Contradiction, StoreDown, Unsure
from telemetry.metrics import Metrics

_LOG = logging.getLogger("llmbase.accounts")

_MOST = 256  # calls of one transaction
_RETRY_AFTER = 1.0  # seconds


@dataclass(slots=True, eq=False)
class _Waiter:
    reservation: Reservation
    written: asyncio.Future[None]


class Reservations:
    """`now` gives Unix seconds. What this process holds is in `ledger.held` until it is settled.

    `start` must be called before `reserve`, `close` after the last; `run` renews what is held.
    """

    def __init__(
        self, database: Database, ledger: Ledger, now: Callable[[], float], metrics: Metrics
    ) -> None:
        self._database = database
        self._ledger = ledger
        self._metrics = metrics
        self.renewal = Renewal(database, ledger.held, now, metrics)
        self._waiting: list[_Waiter] = []
        self._wake = asyncio.Event()
        self._writer: asyncio.Task[None] | None = None
        self._closed = False

    async def start(self) -> None:
        """Begin to write."""
        self._writer = asyncio.create_task(self._write())

    async def close(self) -> None:
        """Write what is waiting, and refuse what comes."""
        self._closed = True
        self._wake.set()
        if self._writer is not None:
            await self._writer

    async def reserve(self, reservation: Reservation) -> None:
        """Hold what the call may cost, where an account or a cap bounds it.

        Raises InsufficientBalance, SpendCapReached, ServiceUnavailable. Nothing is held when it
        raises, cancellation included.
        """
        if not reservation.prepaid and reservation.cap is None:
            return
        try:
            await self._wait(reservation)
        except (InsufficientBalance, SpendCapReached):
            if not self._ledger.is_behind:
                raise
            await self._ledger.flush()  # calls that are over may still hold what this one needs
            await self._wait(reservation)

    async def run(self) -> NoReturn:
        """Renew what this process holds, and let lapse what nobody renews."""
        await self.renewal.run()

    async def _wait(self, reservation: Reservation) -> None:
        if self._closed or self._writer is None or self._writer.done():
            raise _away()
        waiter = _Waiter(reservation, asyncio.get_running_loop().create_future())
        self._waiting.append(waiter)
        self._wake.set()
        try:
            await waiter.written
        except asyncio.CancelledError:
            # Between the answer and its receipt: the writer thinks that it is held for somebody.
            if not waiter.written.cancelled() and waiter.written.exception() is None:
                self._ledger.release(reservation)
            raise

    async def _write(self) -> None:
        while self._waiting or not self._closed:
            await self._wake.wait()
            self._wake.clear()
            while self._waiting:
                group, self._waiting = self._waiting[:_MOST], self._waiting[_MOST:]
                # Who has left before its turn has nothing to be given back.
                await self._hold([it for it in group if not it.written.done()])

    async def _hold(self, group: list[_Waiter]) -> None:
        """Write one group, and tell each of it. Never raises, but for cancellation."""
        if not group:
            return
        reservations = [it.reservation for it in group]
        try:
            outcome = await transact(
                self._database, self._metrics, "reserve", partial(hold, reservations)
            )
        except Contradiction:
            if len(group) > 1:
                for waiter in group:
                    await self._hold([waiter] if not waiter.written.done() else [])
            else:
                self._tell(group[0], _away())
        except BaseException as error:
            if isinstance(error, Unsure | asyncio.CancelledError):
                for it in reservations:  # it may be held, or not: both are in order then
                    self._ledger.release(it)
            # Those behind them have waited as long, and would find the same.
            behind, self._waiting = self._waiting, []
            for waiter in (*group, *behind):
                self._tell(waiter, _away())
            if not isinstance(error, Exception):
                raise
            if not isinstance(error, StoreDown):
                _LOG.error("cannot reserve", extra={"detail": type(error).__name__})
        else:
            self._answer(group, outcome)

    def _answer(self, group: list[_Waiter], outcome: Outcome) -> None:
        again = {it.call_id for it in outcome.again}
        for waiter in group:
            call_id = waiter.reservation.call_id
            if call_id in again:
                self._waiting.append(waiter)
            elif call_id in outcome.refused:
                self._tell(waiter, outcome.refused[call_id])
            else:
                self._ledger.held.add(call_id)
                if waiter.written.done():  # it left meanwhile: nobody else would give it back
                    self._ledger.release(waiter.reservation)
                else:
                    waiter.written.set_result(None)

    @staticmethod
    def _tell(waiter: _Waiter, error: Error) -> None:
        if not waiter.written.done():
            waiter.written.set_exception(error)


def _away() -> ServiceUnavailable:
    return ServiceUnavailable("The store does not answer.", retry_after=_RETRY_AFTER)
