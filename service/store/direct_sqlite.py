"""Transactions on SQLite: each is one visit to a thread."""

from __future__ import annotations

import asyncio
import json
import sqlite3
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any, TypeVar

from service.store.direct import Contradiction, StoreDown
from service.store.steps import Rows, Step, Steps, insertion_start, to_sqlite

T = TypeVar("T")

_MOST_ROWS = 64  # that are inserted by one statement: SQLite takes 32,766 values
_BAD = (
    sqlite3.IntegrityError,
    sqlite3.DataError,
    sqlite3.ProgrammingError,
    sqlite3.InterfaceError,
    OverflowError,
)


class SqliteDirect:
    """`turn` is held while a transaction runs: SQLite takes one at a time."""

    def __init__(self, connect: Callable[[], sqlite3.Connection], turn: asyncio.Lock) -> None:
        self._connect = connect
        self._turn = turn
        self._thread = ThreadPoolExecutor(1, "llmbase-store")
        self._connection: sqlite3.Connection | None = None

    async def run(self, work: Callable[[], Steps[T]]) -> T:
        """Do one transaction. Once begun it is done, even if nobody waits for it any longer."""
        async with self._turn:
            loop = asyncio.get_running_loop()
            return await loop.run_in_executor(self._thread, self._run, work)

    async def close(self) -> None:
        """Close the connection, and end the thread."""
        await asyncio.get_running_loop().run_in_executor(self._thread, self._disconnect)
        self._thread.shutdown()

    def _run(self, work: Callable[[], Steps[T]]) -> T:
        try:
            if self._connection is None:
                self._connection = self._connect()
            return _transaction(self._connection, work())
        except _BAD as error:
            raise Contradiction(type(error).__name__) from error
        except sqlite3.Error as error:
            self._disconnect()
            raise StoreDown(type(error).__name__) from error

    def _disconnect(self) -> None:
        if self._connection is not None:
            self._connection.close()
            self._connection = None


def _transaction(connection: sqlite3.Connection, steps: Steps[T]) -> T:
    connection.execute("BEGIN IMMEDIATE")  # at once: reading first, it could not wait for others
    try:
        step = next(steps)
        while True:
            step = steps.send(_do(connection, step))
    except StopIteration as end:
        connection.execute("COMMIT")
        result: T = end.value
        return result
    finally:
        if connection.in_transaction:
            connection.execute("ROLLBACK")


def _do(connection: sqlite3.Connection, step: Step) -> Rows:
    if step.many:
        _do_many(connection, step)
        return ()
    return connection.execute(to_sqlite(step.sql), _plain(step.values)).fetchall()


def _do_many(connection: sqlite3.Connection, step: Step) -> None:
    """Do a step for each of its rows.

    Rows are inserted many at a time. Whatever SQLite does it does without Python's lock, and to get
    that back costs more than a row: whoever has it, which is who serves, has to be interrupted.
    """
    start, rows = insertion_start(step.sql), step.values
    if start is None:
        connection.executemany(to_sqlite(step.sql), rows)
        return
    done = 0
    while done < len(rows):
        # Powers of two: so there are few different statements, which SQLite keeps as it has them.
        some = rows[done : done + min(_MOST_ROWS, 1 << (len(rows) - done).bit_length() - 1)]
        places = f"({', '.join('?' * len(some[0]))})"
        values = [value for row in some for value in row]
        connection.execute(start + ", ".join([places] * len(some)), values)
        done += len(some)


def _plain(values: Sequence[Any]) -> Sequence[Any]:
    return [json.dumps(it) if isinstance(it, list) else it for it in values]
