"""Alembic's entry: runs migrations on the connection that service/store/migrate.py hands over.

The transaction is the caller's, so that a store is migrated as a whole or not at all.
"""

from alembic import context

from service.store.tables import METADATA

context.configure(
    connection=context.config.attributes["connection"],
    target_metadata=METADATA,
    render_as_batch=True,  # SQLite cannot change a column in place
)
with context.begin_transaction():
    context.run_migrations()
