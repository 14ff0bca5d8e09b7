"""A transaction as a generator of statements: written once, run by whichever driver there is. Pure.

Statements are in PostgreSQL's words, and only such as `to_sqlite` can say in SQLite's.
"""

from __future__ import annotations

import re
from collections.abc import Generator, Sequence
from functools import lru_cache
from typing import Any, NamedTuple, TypeVar

from sqlalchemy import Table

T = TypeVar("T")

Rows = Sequence[Sequence[Any]]


class Step(NamedTuple):
    """A statement, and its values: of `$1`, `$2`, ...; or a row of them for each time it is run."""

    sql: str
    values: Sequence[Any] = ()
    many: bool = False


# Yields steps, is sent what each has found (nothing for `many`), and returns the result.
Steps = Generator[Step, Rows, T]


@lru_cache(maxsize=256)
def to_sqlite(sql: str) -> str:
    """Return a statement as SQLite has it: lists are JSON there, and nobody else holds a lock."""
    sql = re.sub(r"= ANY\(\$(\d+)\)", r"IN (SELECT value FROM json_each($\1))", sql)
    return re.sub(r"\$(\d+)", r"?\1", sql).replace(" FOR UPDATE SKIP LOCKED", "")


_ONE_ROW = re.compile(r"(INSERT INTO \w+ \([^()]+\) VALUES )\((?:\$\d+(?:, )?)+\)")


def insertion_start(sql: str) -> str | None:
    """Return what comes before the values of an `insertion`, which this is or is not (None)."""
    found = _ONE_ROW.fullmatch(sql)
    return found and found[1]


def insertion(table: Table) -> str:
    """Return the statement that inserts a row of a table, its values in the columns' order."""
    names = [column.name for column in table.columns]
    values = ", ".join(f"${i}" for i in range(1, len(names) + 1))
    return f"INSERT INTO {table.name} ({', '.join(names)}) VALUES ({values})"  # noqa: S608
