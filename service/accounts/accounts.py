"""The room's door: the store, the keys in it, the limits and the books, from start to end."""

from __future__ import annotations

import asyncio
import contextlib
import random
import time
from collections.abc import Callable, Coroutine
from pathlib import Path
from typing import Any, NoReturn

from llmbase.v1.account_pb2 import CreateAccountRequest

from service.accounts.charging import Charging
from service.accounts.directory import KeyDirectory
from service.accounts.ledger import Ledger
from service.accounts.limiters import limiter
from service.accounts.prices import PriceTable
from service.accounts.records import Reservation
from service.accounts.registry import Registry
from service.accounts.reserving import Reservations
from service.accounts.spool import Spool
from service.config import Config, StoreConfig
from service.errors import AlreadyExists, Error, ServiceUnavailable
from service.store.address import StoreError, place_of, store_url
from service.store.database import StoreDown
from service.store.open import find_store, make_ready
from telemetry.metrics import RESERVATIONS, Metrics

_AGAIN = 5  # seconds until a store that was away is asked again


class Accounts:
    """Everything of accounts that lives as long as the process. `reason` is an error's word.

    Where the configuration has no store there is no registry, and nothing is written down. Raises
    ConfigError.
    """

    def __init__(
        self,
        config: Config,
        data_directory: Path,
        metrics: Metrics,
        chance: random.Random,
        reason: Callable[[Error], str],
    ) -> None:
        self.limiter = limiter(config.shared, metrics, chance)
        self.registry: Registry | None = None
        self._books: _Books | None = None
        database = None
        if config.store is not None:
            self._books = _Books(config.store, data_directory, metrics)
            database = self._books.database
        self.directory = KeyDirectory(database, config.accounts, time.time, time.monotonic)
        if database is not None:
            self.registry = Registry(database, self.directory, time.time, chance)
        books = self._books
        reservations = _NoMoney() if books is None else books.reservations
        ledger = None if books is None else books.ledger
        self.charging = Charging(config.accounts, reservations, ledger, time.time, reason, metrics)
        self._tasks: list[asyncio.Task[None]] = []
        self._adopting: asyncio.Task[None] | None = None

    async def start(self, config: Config, prices: PriceTable) -> None:
        """Open the store, and begin to write. Raises StoreError."""
        await self.limiter.start()
        if self._books is not None:
            await self._books.start()
            try:
                await self._adopt(config, prices)
            except (StoreDown, ServiceUnavailable) as error:
                raise self._books.not_written(error) from None
            self._run(self._books.reservations.run())
            self._run(self.directory.run())

    async def configure(self, config: Config, prices: PriceTable) -> None:
        """Go on with another configuration; the store and the limiter stay what they are."""
        self.directory.configure(config.accounts)
        self.charging.config = config.accounts
        if self._adopting is not None:
            self._adopting.cancel()
        if not await self._adopted(config, prices):
            again = self._adopt_again(config, prices)
            self._adopting = asyncio.get_running_loop().create_task(again)

    async def close(self) -> None:
        """Write what is to be written, and let go of everything. Every call has ended."""
        tasks = [*self._tasks, *([self._adopting] if self._adopting is not None else [])]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        if self._books is not None:
            await self._books.close()
        await self.limiter.close()

    async def _adopt_again(self, config: Config, prices: PriceTable) -> None:
        """Until the store is back: nobody could put money on an account that was never made."""
        adopted = False
        while not adopted:
            await asyncio.sleep(_AGAIN)
            adopted = await self._adopted(config, prices)

    async def _adopted(self, config: Config, prices: PriceTable) -> bool:
        """Adopt, and return whether the store was there for it; where it is not, calls say so."""
        try:
            await self._adopt(config, prices)
        except (StoreDown, ServiceUnavailable):
            return False
        return True

    async def _adopt(self, config: Config, prices: PriceTable) -> None:
        """Make the accounts that the configuration names, and write its prices down."""
        if self.registry is None or self._books is None:
            return
        for account_id in sorted(_named(config)):
            with contextlib.suppress(AlreadyExists):
                await self.registry.create_account(CreateAccountRequest(id=account_id))
        await prices.keep(self._books.database, int(time.time()))

    def _run(self, work: Coroutine[Any, Any, NoReturn]) -> None:
        self._tasks.append(asyncio.get_running_loop().create_task(work))


class _Books:
    """The store, and what writes into it while calls come and go."""

    def __init__(self, config: StoreConfig, data_directory: Path, metrics: Metrics) -> None:
        self._config = config
        self._data_directory = data_directory
        self.database = find_store(config, data_directory)
        spool = Spool(config.spool or data_directory / "spool")
        self.ledger = Ledger(self.database, spool, time.monotonic, metrics)
        self.reservations = Reservations(self.database, self.ledger, time.time, metrics)
        metrics.follow(RESERVATIONS, lambda: {(): len(self.ledger.held)})

    async def start(self) -> None:
        await make_ready(self.database, self._config, self._data_directory)
        await self.ledger.start()
        await self.reservations.start()

    def not_written(self, error: Exception) -> StoreError:
        """Return the error of a store that could be read a moment ago."""
        where = place_of(store_url(self._config, self._data_directory))
        return StoreError(f"store: {where} cannot be written ({error})")

    async def close(self) -> None:
        await self.reservations.close()
        await self.ledger.close()
        await self.database.close()


class _NoMoney:
    """Where there is no store nobody can be made to pay: the configuration would be refused."""

    async def reserve(self, reservation: Reservation) -> None:
        raise NotImplementedError


def _named(config: Config) -> set[str]:
    callers = (*config.keys, *config.identities)
    return {caller.account for caller in callers if caller.account is not None}
