"""Accounts as one process has them, on a database of the test's own, and what must hold there."""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import uuid
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from llmbase.v1.chat_completion_pb2 import Usage
from sqlalchemy import insert, text

from service.accounts.caller import SpendCap
from service.accounts.ledger import Ledger
from service.accounts.records import Reservation, Settlement
from service.accounts.reserving import Reservations
from service.accounts.spool import Spool
from service.money import Nanos
from service.store.database import Database
from service.store.tables import ACCOUNTS, CREDITS, METADATA
from telemetry.metrics import Metrics

AT = 1_800_000_000  # Unix seconds: 2027-01-15
DAY, MONTH = "2027-01-15", "2027-01"


@dataclass
class Clock:
    """Wall clock and monotonic clock of a process, moved by hand."""

    now: float = float(AT)

    def __call__(self) -> float:
        return self.now


@dataclass
class Process:
    """What one process has of accounts."""

    url: str
    directory: Path
    patience: float = 30.0
    clock: Clock = field(default_factory=Clock)
    capacity: int = 10_000
    linger: float = 0.002

    def __post_init__(self) -> None:
        self.database = Database(self.url, self.patience)
        self.metrics = Metrics({})
        self.spool = Spool(self.directory)
        self.ledger = Ledger(
            self.database,
            self.spool,
            self.clock,
            self.metrics,
            capacity=self.capacity,
            linger=self.linger,
        )
        self.reservations = Reservations(self.database, self.ledger, self.clock, self.metrics)

    async def __aenter__(self) -> Process:
        await self.ledger.start()
        await self.reservations.start()
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.reservations.close()
        await self.ledger.close()
        await self.database.close()

    async def rows(self, statement: str, **values: Any) -> list[Any]:
        """What a query finds."""
        async with self.database.transaction() as connection:
            return list((await connection.execute(text(statement), values)).all())


@contextlib.asynccontextmanager
async def fresh(url: str, **accounts: int | None) -> AsyncIterator[Database]:
    """A database with tables and accounts: prepaid with their credit, or None and not prepaid."""
    database = Database(url, 30.0)
    try:
        async with database.transaction() as connection:
            await connection.run_sync(METADATA.create_all)
            for name, credit in accounts.items():
                row = {"id": name, "created": AT, "prepaid": credit is not None}
                await connection.execute(
                    insert(ACCOUNTS), row | {"balance_nanos": credit or 0, "reserved_nanos": 0}
                )
                if credit is not None:
                    paid = {"id": uuid.uuid4().hex, "account_id": name, "amount_nanos": credit}
                    await connection.execute(insert(CREDITS), paid | {"at": AT, "note": ""})
        yield database
    finally:
        await database.close()


_NUMBERS = itertools.count()


def a_reservation(
    amount: int,
    account: str = "acme",
    *,
    key: str = "key",
    cap: tuple[int, Any] | None = None,
    prepaid: bool = True,
    call_id: str = "",
    created: int = AT,
) -> Reservation:
    """What a call holds; each has an id of its own unless one is given."""
    return Reservation(
        call_id=call_id or uuid.uuid4().hex,
        request_id=f"request-{next(_NUMBERS)}",
        account_id=account,
        key_id=key,
        prepaid=prepaid,
        cap=SpendCap(Nanos(cap[0]), cap[1]) if cap else None,
        model="acme/one",
        amount=Nanos(amount),
        price_version="0123456789abcdef",
        created=created,
    )


def a_settlement(held: Reservation, cost: int, excess: int = 0, **changes: Any) -> Settlement:
    """The end of a call that held money."""
    fields: dict[str, Any] = {
        "call_id": held.call_id,
        "request_id": held.request_id,
        "account_id": held.account_id,
        "key_id": held.key_id,
        "ended": held.created + 1,
        "outcome": "OK",
        "requested_model": held.model,
        "served_model": held.model,
        "provider": "acme",
        "usage": Usage(prompt_tokens=3, completion_tokens=4, total_tokens=7, cached_tokens=1),
        "price_version": held.price_version,
        "cost": Nanos(cost),
        "excess": Nanos(excess),
        "provider_cost": None,
        "reservation": held,
    }
    return Settlement(**(fields | changes))


def spooled_files(directory: Path) -> list[Path]:
    """What is in a spool and can be replayed, or is being written."""
    return list(directory.glob("*.jsonl"))


async def until_replayed(process: Process) -> None:
    """Wait until a process's spool is empty, and the store has all of it."""
    async with asyncio.timeout(60):
        while spooled_files(process.directory) or process.ledger.is_behind:
            await asyncio.sleep(0.01)
            await process.ledger.flush()


async def check_books(database: Database) -> None:
    """Whatever has happened: balances are credits less what was charged, holds are what is open."""
    async with database.transaction() as connection:
        for account in (await connection.execute(text(_ACCOUNTS))).all():
            assert account.balance_nanos == account.credits - account.costs, account
            assert account.reserved_nanos == account.held, account
            assert account.reserved_nanos >= 0, account
        for key in (await connection.execute(text(_KEYS))).all():
            assert key.reserved_nanos == key.held, key
            assert key.reserved_nanos >= 0, key


_ACCOUNTS = """
SELECT id, balance_nanos, reserved_nanos,
  (SELECT COALESCE(SUM(amount_nanos), 0) FROM credits WHERE account_id = accounts.id) AS credits,
  (SELECT COALESCE(SUM(cost_nanos), 0) FROM ledger WHERE account_id = accounts.id) AS costs,
  (SELECT COALESCE(SUM(amount_nanos), 0) FROM reservations
   WHERE account_id = accounts.id AND prepaid AND state = 'open') AS held
FROM accounts
"""
_KEYS = """
SELECT key_id, period, reserved_nanos,
  (SELECT COALESCE(SUM(amount_nanos), 0) FROM reservations
   WHERE reservations.key_id = key_spend.key_id AND reservations.period = key_spend.period
   AND state = 'open') AS held
FROM key_spend
"""
