"""Which revision of the tables this llmbase works with, and which a store has. No alembic here."""

from __future__ import annotations

from typing import Final

from sqlalchemy import Connection, inspect, text

# Of service/store/migrations/versions, the oldest first.
REVISIONS: Final = ("0001",)
HEAD: Final = REVISIONS[-1]


class NewerStore(Exception):
    """The tables are of a revision that this llmbase does not know."""


def revision(connection: Connection) -> str | None:
    """Return the revision of a store's tables; None: there are none yet."""
    if not inspect(connection).has_table("alembic_version"):
        return None
    found = connection.execute(text("SELECT version_num FROM alembic_version")).scalar()
    return str(found) if found is not None else None
