"""One database, SQLite or PostgreSQL: connections, transactions, and what its absence means."""

from __future__ import annotations

import asyncio
import contextlib
import sqlite3
from collections.abc import AsyncIterator, Callable
from typing import Any, TypeVar

from sqlalchemy import event
from sqlalchemy.exc import DBAPIError, SQLAlchemyError
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine, create_async_engine

from service.store.direct import Direct, StoreDown, Unsure
from service.store.direct_sqlite import SqliteDirect
from service.store.steps import Steps

__all__ = ["Database", "StoreDown"]

T = TypeVar("T")

_DRIVERS = {"sqlite": "sqlite+aiosqlite", "postgresql": "postgresql+asyncpg"}
# What a URL can say to SQLAlchemy alone.
_NOT_THE_DRIVERS = ("prepared_statement_cache_size", "async_fallback")
_BUSY = 5.0  # seconds that SQLite waits for another process's transaction
_READS: dict[str, object] = {"llmbase_writes": False}
_WRITES: dict[str, object] = {"llmbase_writes": True}


class Database:
    """`url` is sqlite:///PATH or postgresql://...; `patience` is how many seconds a transaction may
    take, its connection included. Nothing is opened before it is used.
    """

    def __init__(self, url: str, patience: float = 5.0) -> None:
        self.kind, _, rest = url.partition(":")
        self._patience = patience
        self._engine = _engine(f"{_DRIVERS[self.kind]}:{rest}", self.kind)
        # SQLite takes one transaction at a time. Those of one process wait here, in order; in the
        # file they would wait asleep, and be told to try again at random.
        self._turn = asyncio.Lock() if self.kind == "sqlite" else contextlib.nullcontext()
        self._direct = _direct(self._engine, self._turn)

    @contextlib.asynccontextmanager
    async def transaction(self) -> AsyncIterator[AsyncConnection]:
        """Give a connection; all that is done in the block is done together, or none of it.

        Raises StoreDown.
        """
        async with self._turn, self._within(_WRITES) as connection:
            yield connection

    async def run(self, work: Callable[[], Steps[T]]) -> T:
        """Do a transaction of plain statements, for what every call has to wait for.

        Raises StoreDown, Unsure, Conflict, Contradiction, and what `work` raises.
        """
        try:
            async with asyncio.timeout(self._patience):
                return await self._direct.run(work)
        except TimeoutError as error:
            raise Unsure(place(error)) from error
        except OSError as error:
            raise StoreDown(place(error)) from error

    @contextlib.asynccontextmanager
    async def reading(self) -> AsyncIterator[AsyncConnection]:
        """Give a connection to read with, which waits for nobody's transaction. Raises StoreDown.

        Two statements may see two states; one statement sees one.
        """
        async with self._within(_READS) as connection:
            yield connection

    @contextlib.asynccontextmanager
    async def _within(self, options: dict[str, object]) -> AsyncIterator[AsyncConnection]:
        try:
            async with asyncio.timeout(self._patience):
                connection = await self._connect()
                try:
                    await connection.execution_options(**options)
                    async with connection.begin():
                        yield connection
                finally:
                    await connection.close()
        except (SQLAlchemyError, OSError, TimeoutError) as error:
            raise StoreDown(place(error)) from error

    async def _connect(self) -> AsyncConnection:
        try:
            return await self._engine.connect()
        except Exception as error:  # the driver's own: a server that is full, a wrong password
            raise StoreDown(place(error)) from error

    async def close(self) -> None:
        """Close every connection."""
        await self._direct.close()
        await self._engine.dispose()


def _engine(url: str, kind: str) -> AsyncEngine:
    if kind == "postgresql":
        return create_async_engine(url, pool_size=8, max_overflow=8, pool_pre_ping=True)
    engine = create_async_engine(url, connect_args={"timeout": _BUSY})
    event.listen(engine.sync_engine, "connect", _on_connect)
    event.listen(engine.sync_engine, "begin", _on_begin)
    return engine


def _direct(engine: AsyncEngine, turn: Any) -> Direct:
    _, options = engine.dialect.create_connect_args(engine.url)
    for name in _NOT_THE_DRIVERS:
        options.pop(name, None)
    if not isinstance(turn, asyncio.Lock):
        import asyncpg  # noqa: PLC0415 - an extra: whoever has no PostgreSQL need not have it

        from service.store.direct_postgres import PostgresDirect  # noqa: PLC0415

        return PostgresDirect(lambda: asyncpg.connect(**options))

    def connect() -> sqlite3.Connection:
        path = engine.url.database or ":memory:"
        connection = sqlite3.connect(path, timeout=_BUSY, check_same_thread=False)
        _on_connect(connection, None)
        return connection

    return SqliteDirect(connect, turn)


def _on_connect(connection: Any, _record: object) -> None:
    connection.isolation_level = None  # we say BEGIN ourselves: the driver would say it too late
    cursor = connection.cursor()
    for pragma in ("journal_mode=WAL", "synchronous=NORMAL", "foreign_keys=ON"):
        cursor.execute(f"PRAGMA {pragma}")
    cursor.close()


def _on_begin(connection: Any) -> None:
    # At once: a transaction that reads first and writes then could not wait for another's.
    writes = connection.get_execution_options().get("llmbase_writes", True)
    connection.exec_driver_sql("BEGIN IMMEDIATE" if writes else "BEGIN")


def place(error: BaseException) -> str:
    """Return what may be logged of an error: its text can hold values."""
    if isinstance(error, DBAPIError) and error.orig is not None:
        driver = error.orig.__cause__  # asyncpg's own; around it is only its emulation of a DBAPI
        return type(driver or error.orig).__name__
    return type(error).__name__
