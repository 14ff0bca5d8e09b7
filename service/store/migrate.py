"""Bring a store's tables to what this llmbase works with, as a whole or not at all."""

from __future__ import annotations

from pathlib import Path

from alembic import command
from alembic.config import Config
from sqlalchemy import Connection, text

from service.store.database import Database
from service.store.schema import HEAD, REVISIONS, NewerStore, revision

_LOCK = 0x6C6C6D62617365  # PostgreSQL's advisory lock while one process migrates: "llmbase"


async def migrate(database: Database) -> bool:
    """Return whether there was anything to do. Waits while another process is at it.

    The database's patience bounds all of it. Raises StoreDown, NewerStore.
    """
    async with database.transaction() as connection:
        if database.kind == "postgresql":
            await connection.execute(text(f"SELECT pg_advisory_xact_lock({_LOCK})"))
        return await connection.run_sync(_upgrade)


def _upgrade(connection: Connection) -> bool:
    # Looked at under the lock: another process may have done it while we waited.
    found = revision(connection)
    if found == HEAD:
        return False
    if found is not None and found not in REVISIONS:
        raise NewerStore(found)
    config = Config()
    # A percent sign begins a reference in alembic's configuration; a path may have one.
    location = str(Path(__file__).with_name("migrations")).replace("%", "%%")
    config.set_main_option("script_location", location)
    config.attributes["connection"] = connection
    command.upgrade(config, "head")
    return True
