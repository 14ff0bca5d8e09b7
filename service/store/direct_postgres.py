"""Transactions on PostgreSQL, on connections that are kept for them."""

from __future__ import annotations

import contextlib
from collections.abc import Awaitable, Callable
from typing import Any, TypeVar

import asyncpg

from service.store.direct import AGAIN, NEVER, Conflict, Contradiction, StoreDown, Unsure
from service.store.steps import Rows, Step, Steps

T = TypeVar("T")

_ENDED = "57"  # the class of what an administrator, or a crash, has ended


class _Stale(Exception):
    """A connection that was kept is gone."""


class PostgresDirect:
    """As many connections as there are transactions at a time: a process has few."""

    def __init__(self, connect: Callable[[], Awaitable[Any]]) -> None:
        self._connect = connect
        self._idle: list[Any] = []

    async def run(self, work: Callable[[], Steps[T]]) -> T:
        """Do one transaction; where a kept connection turns out to be closed, on a new one."""
        try:
            if self._idle:
                with contextlib.suppress(_Stale):
                    return await self._on(self._idle.pop(), work, kept=True)
                await self.close()  # the others are no better
            return await self._on(await self._connect(), work, kept=False)
        except asyncpg.PostgresError as error:
            raise _meaning(error) from error
        except asyncpg.InterfaceError as error:
            if isinstance(error, ValueError):  # a value that is not of the column's type
                raise Contradiction(type(error).__name__) from error
            raise StoreDown(type(error).__name__) from error

    async def close(self) -> None:
        """Close every connection that is not in use."""
        while self._idle:
            connection = self._idle.pop()
            with contextlib.suppress(asyncpg.PostgresError, asyncpg.InterfaceError, OSError):
                await connection.close(timeout=1.0)

    async def _on(self, connection: Any, work: Callable[[], Steps[T]], *, kept: bool) -> T:
        try:
            await _begin(connection, kept)
            result = await _drive(connection, work())
            await _commit(connection)
        except BaseException as error:
            if not await _rolled_back(connection, error):
                connection.terminate()
            else:
                self._idle.append(connection)
            raise
        self._idle.append(connection)
        return result


async def _begin(connection: Any, kept: bool) -> None:
    try:
        await connection.execute("BEGIN")
    except (asyncpg.PostgresError, asyncpg.InterfaceError, OSError) as error:
        if kept:
            raise _Stale from error
        raise


async def _drive(connection: Any, steps: Steps[T]) -> T:
    try:
        step = next(steps)
        while True:
            step = steps.send(await _do(connection, step))
    except StopIteration as end:
        result: T = end.value
        return result


async def _do(connection: Any, step: Step) -> Rows:
    if step.many:
        await connection.executemany(step.sql, step.values)
        return ()
    rows: Rows = await connection.fetch(step.sql, *step.values)
    return rows


async def _commit(connection: Any) -> None:
    try:
        await connection.execute("COMMIT")
    except asyncpg.PostgresError as error:
        if error.sqlstate[:2] in (_ENDED, "08"):
            raise Unsure(type(error).__name__) from error
        raise  # the server says that it did not
    except (asyncpg.InterfaceError, OSError, TimeoutError) as error:
        raise Unsure(type(error).__name__) from error


async def _rolled_back(connection: Any, error: BaseException) -> bool:
    """Whether the connection can be used again."""
    if not isinstance(error, Exception) or isinstance(error, StoreDown | _Stale | OSError):
        return False
    if connection.is_closed():
        return False
    try:
        await connection.execute("ROLLBACK")
    except (asyncpg.PostgresError, asyncpg.InterfaceError, OSError):
        return False
    return True


def _meaning(error: asyncpg.PostgresError) -> Exception:
    state, name = error.sqlstate or "", type(error).__name__
    if state in AGAIN:
        return Conflict(name)
    return Contradiction(name) if state[:2] in NEVER else StoreDown(name)
