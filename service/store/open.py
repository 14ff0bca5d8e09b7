"""From what is configured to a store that can be used: found, made and migrated."""

from __future__ import annotations

import importlib.util
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from sqlalchemy.engine import URL

from service.config import StoreConfig
from service.store.address import StoreError, place_of, store_url
from service.store.database import Database, StoreDown
from service.store.schema import HEAD, NewerStore, revision

_MIGRATING = 600.0  # seconds that migrating may take, waiting for another process included


def find_store(config: StoreConfig, data_directory: Path) -> Database:
    """Return the store, nothing of it opened yet; the caller closes it. Raises StoreError."""
    url = store_url(config, data_directory)
    _prepare(url)
    return Database(url.render_as_string(hide_password=False))


async def make_ready(database: Database, config: StoreConfig, data_directory: Path) -> None:
    """See to it that the tables are as we need them. Raises StoreError."""
    url = store_url(config, data_directory)
    with _one_line(url):
        async with database.reading() as connection:
            found = await connection.run_sync(revision)
        if found != HEAD:
            await _migrate(url)


async def open_store(config: StoreConfig, data_directory: Path) -> Database:
    """Return the store, its tables as we need them; the caller closes it. Raises StoreError."""
    database = find_store(config, data_directory)
    try:
        await make_ready(database, config, data_directory)
    except BaseException:
        await database.close()
        raise
    return database


async def migrate_store(config: StoreConfig, data_directory: Path) -> bool:
    """Return whether the tables had to be changed, or made. Raises StoreError."""
    url = store_url(config, data_directory)
    _prepare(url)
    with _one_line(url):
        return await _migrate(url)


async def _migrate(url: URL) -> bool:
    from service.store.migrate import migrate  # noqa: PLC0415 - alembic is for this alone

    database = Database(url.render_as_string(hide_password=False), patience=_MIGRATING)
    try:
        return await migrate(database)
    finally:
        await database.close()


@contextmanager
def _one_line(url: URL) -> Iterator[None]:
    try:
        yield
    except StoreDown as error:
        raise StoreError(f"store: {place_of(url)} cannot be used ({error})") from None
    except NewerStore as error:
        raise StoreError(
            f"store: {place_of(url)} was made by a newer llmbase (revision {error}, this one "
            f"knows {HEAD})"
        ) from None


def _prepare(url: URL) -> None:
    if url.drivername == "sqlite":
        _make_directory(Path(str(url.database)).parent)
    elif importlib.util.find_spec("asyncpg") is None:
        raise StoreError("store: PostgreSQL needs an extra: pip install 'llmbase[postgres]'")


def _make_directory(directory: Path) -> None:
    """Only we may look into a directory that we make: what everybody spent is in it."""
    try:
        directory.mkdir(mode=0o700, parents=True, exist_ok=True)
    except OSError as error:
        raise StoreError(
            f"store: cannot make {directory}: {error.strerror}; set store.url, or `store: null` to "
            "keep no accounts"
        ) from None
