"""Stores for tests: a file, and a database of a real PostgreSQL."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from service.config import StoreConfig
from service.store.database import Database
from service.store.open import open_store
from tests.support.postgres import Postgres


@dataclass(frozen=True)
class Place:
    """Where a store is, and how to look into it past us."""

    kind: str
    url: str
    sql: Callable[[str], object]

    async def open(self) -> Database:
        """The store, its tables made; the caller closes it."""
        return await open_store(StoreConfig.model_validate({"url": self.url}), Path("/nowhere"))


def sqlite_place(directory: Path) -> Place:
    """A file that is not there yet."""
    path = directory / "store.db"

    def sql(statement: str) -> object:
        with sqlite3.connect(path) as connection:
            rows = connection.execute(statement).fetchall()
        connection.close()
        return "\n".join("|".join(str(cell) for cell in row) for row in rows)

    return Place("sqlite", f"sqlite:///{path}", sql)


def postgres_place(server: Postgres) -> Place:
    """An empty database."""
    url = server.new_database()
    return Place("postgresql", url, lambda statement: server.sql(statement, url))
