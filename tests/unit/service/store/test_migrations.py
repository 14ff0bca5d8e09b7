"""What migrations make is what service/store/tables.py says, on both databases."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from alembic.config import Config
from alembic.script import ScriptDirectory
from sqlalchemy import inspect, text

from service.store.database import Database, StoreDown
from service.store.migrate import migrate
from service.store.schema import REVISIONS
from service.store.tables import METADATA

_MIGRATIONS = Path(__file__).parents[4] / "service" / "store" / "migrations"

_ROW = {
    "call_id": "'c'",
    "request_id": "'r'",
    "account_id": "'operator'",
    "key_id": "'k'",
    "ended": "1",
    "day": "'2026-11-26'",
    "outcome": "'OK'",
    "requested_model": "'m'",
    "served_model": "'m'",
    "provider": "'p'",
    "prompt_tokens": "1",
    "cached_tokens": "0",
    "cache_write_tokens": "0",
    "completion_tokens": "1",
    "reasoning_tokens": "0",
    "estimated": "false",
    "reserved_nanos": "0",
    "cost_nanos": "1",
    "excess_nanos": "0",
}
_INSERT = f"INSERT INTO ledger ({', '.join(_ROW)}) VALUES ({', '.join(_ROW.values())})"


def _described(connection):
    """What the database itself says of its tables."""
    looking = inspect(connection)
    names = set(looking.get_table_names()) - {"alembic_version"}
    return {name: _table(looking, name) for name in names}


def _table(looking, name):
    columns = looking.get_columns(name)
    keys = looking.get_foreign_keys(name)
    return {
        "columns": [
            (column["name"], str(column["type"]), column["nullable"], column["default"])
            for column in columns
        ],
        "primary": looking.get_pk_constraint(name)["constrained_columns"],
        "foreign": [(k["constrained_columns"], k["referred_table"]) for k in keys],
        "indexes": sorted((i["name"], i["column_names"]) for i in looking.get_indexes(name)),
        "unique": sorted(u["column_names"] for u in looking.get_unique_constraints(name)),
    }


def _make_tables(connection):
    METADATA.drop_all(connection)
    METADATA.create_all(connection)


async def test_migrations_make_the_tables_that_the_code_works_with(store_place):
    database = await store_place.open()
    async with database.transaction() as connection:
        migrated = await connection.run_sync(_described)
        await connection.run_sync(_make_tables)
        wanted = await connection.run_sync(_described)
    await database.close()
    assert migrated == wanted


def test_the_code_names_every_revision_that_there_is():
    config = Config()
    config.set_main_option("script_location", str(_MIGRATIONS))
    found = [script.revision for script in ScriptDirectory.from_config(config).walk_revisions()]
    assert tuple(reversed(found)) == REVISIONS


def test_a_revision_depends_on_nothing_that_changes_later():
    for path in (_MIGRATIONS / "versions").glob("r*.py"):
        assert not re.search(r"service\.(?!store\.migrations)", path.read_text()), path.name


@pytest.mark.parametrize("change", ["UPDATE ledger SET cost_nanos = 0", "DELETE FROM ledger"])
async def test_a_row_of_the_ledger_cannot_be_changed(store_place, change):
    database = await store_place.open()
    async with database.transaction() as connection:
        await connection.execute(text(_INSERT))
    with pytest.raises(StoreDown):
        async with database.transaction() as connection:
            await connection.execute(text(change))
    await database.close()
    assert store_place.sql("SELECT cost_nanos FROM ledger") == "1"


async def test_the_ledger_cannot_be_emptied_on_postgres(postgres):
    database = Database(postgres.new_database())
    await migrate(database)
    with pytest.raises(StoreDown):
        async with database.transaction() as connection:
            await connection.execute(text("TRUNCATE ledger"))
    await database.close()


async def test_the_account_of_those_who_pay_for_nothing_is_there_from_the_start(store_place):
    await (await store_place.open()).close()
    found = store_place.sql("SELECT id, prepaid, balance_nanos FROM accounts")
    assert found in ("operator|0|0", "operator|f|0")
    assert store_place.sql("SELECT name, revision FROM changes") == "accounts|1"
