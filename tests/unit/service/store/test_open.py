"""Opening a store: what is made, what is told when it cannot be, and what it costs."""

from __future__ import annotations

import asyncio
import importlib.util
import stat
import subprocess
import sys
import time

import pytest

from service.config import StoreConfig
from service.store.address import StoreError
from service.store.open import migrate_store, open_store
from tests.support.postgres import PASSWORD

_OPEN = """
import asyncio, sys
from pathlib import Path
from service.config import StoreConfig
from service.store.open import open_store

async def main():
    database = await open_store(StoreConfig(), Path(sys.argv[1]))
    await database.close()

asyncio.run(main())
print("alembic" in sys.modules)
"""


def _config(url):
    return StoreConfig.model_validate({"url": url})


async def _fails(url, tmp_path) -> str:
    with pytest.raises(StoreError) as raised:
        await open_store(_config(url), tmp_path)
    assert "\n" not in str(raised.value)
    return str(raised.value)


async def test_by_default_it_is_a_file_in_a_directory_that_is_ours_alone(tmp_path):
    directory = tmp_path / "not" / "there"
    database = await open_store(StoreConfig(), directory)
    async with database.reading() as connection:
        mode = (await connection.exec_driver_sql("PRAGMA journal_mode")).scalar()
    await database.close()
    assert mode == "wal"
    assert (directory / "llmbase.db").is_file()
    assert stat.S_IMODE(directory.stat().st_mode) == 0o700


def test_a_store_that_is_up_to_date_is_opened_without_alembic(tmp_path):
    first, second = (
        subprocess.run(
            [sys.executable, "-c", _OPEN, str(tmp_path)], capture_output=True, text=True, check=True
        )
        for _ in range(2)
    )
    assert (first.stdout, second.stdout) == ("True\n", "False\n")


async def test_opening_it_takes_milliseconds(tmp_path):
    await (await open_store(StoreConfig(), tmp_path)).close()
    times = []
    for _ in range(20):
        began = time.perf_counter()
        database = await open_store(StoreConfig(), tmp_path)
        times.append(time.perf_counter() - began)
        await database.close()
    assert min(times) < 0.03


async def test_processes_that_start_together_migrate_once(store_place):
    opened = await asyncio.gather(*(store_place.open() for _ in range(5)))
    for database in opened:
        await database.close()
    assert store_place.sql("SELECT count(*) FROM accounts") == "1"


async def test_migrating_says_whether_there_was_anything_to_do(store_place, tmp_path):
    assert await migrate_store(_config(store_place.url), tmp_path)
    assert not await migrate_store(_config(store_place.url), tmp_path)


async def test_a_store_of_a_newer_llmbase_is_left_alone(store_place, tmp_path):
    await (await store_place.open()).close()
    database = await store_place.open()
    async with database.transaction() as connection:
        await connection.exec_driver_sql("UPDATE alembic_version SET version_num = '9999'")
    await database.close()
    assert "newer llmbase (revision 9999" in await _fails(store_place.url, tmp_path)
    with pytest.raises(StoreError, match="newer llmbase"):
        await migrate_store(_config(store_place.url), tmp_path)
    assert store_place.sql("SELECT version_num FROM alembic_version") == "9999"


async def test_a_migration_that_fails_leaves_nothing_behind(store_place, monkeypatch, tmp_path):
    monkeypatch.setattr("service.store.migrations.append_only._POSTGRES", ("NO SQL",))
    monkeypatch.setattr("service.store.migrations.append_only._SQLITE", ("NO SQL",))
    assert "cannot be used" in await _fails(store_place.url, tmp_path)
    monkeypatch.undo()
    await (await store_place.open()).close()


async def test_a_directory_that_cannot_be_made_is_one_line(tmp_path):
    (tmp_path / "file").write_text("")
    said = await _fails(f"sqlite:///{tmp_path}/file/x/store.db", tmp_path)
    assert said.startswith(f"store: cannot make {tmp_path}/file/x: ")


async def test_a_file_that_is_no_database_is_one_line(tmp_path):
    (tmp_path / "store.db").write_text("something else" * 100)
    said = await _fails(f"sqlite:///{tmp_path}/store.db", tmp_path)
    assert said == f"store: {tmp_path}/store.db cannot be used (DatabaseError)"


@pytest.mark.parametrize(
    "url",
    [
        "postgresql://llmbase:se/cret@host:port/name",
        "postgresql://llmbase:se:cret@host:1x/name",
        "postgresql://llmbase:secret@127.0.0.1:1/name",
        "postgresql://llmbase:secret@127.0.0.1:1/name?sslmode=require",
        "postgresql://llmbase:secret@127.0.0.1:1/name?no_such_option=1",
        "postgresql://llmbase:secret@127.0.0.1:1",
        "postgresql://llmbase:secret@127.0.0.1:1/",
    ],
)
async def test_no_error_about_a_url_has_its_password(url, tmp_path):
    said = await _fails(url, tmp_path)
    assert said.startswith("store")
    assert "cret" not in said


async def test_what_postgres_refuses_is_one_line_without_the_password(postgres, tmp_path):
    url = postgres.new_database()
    assert "InvalidPasswordError" in await _fails(url.replace(PASSWORD, "wrong-secret"), tmp_path)
    said = await _fails(url + "_that_is_not_there", tmp_path)
    assert "InvalidCatalogNameError" in said
    assert PASSWORD not in said


async def test_postgres_without_its_driver_names_the_extra(monkeypatch, tmp_path):
    found = importlib.util.find_spec
    monkeypatch.setattr(
        importlib.util, "find_spec", lambda name: None if name == "asyncpg" else found(name)
    )
    said = await _fails("postgresql://llmbase:secret@127.0.0.1:1/name", tmp_path)
    assert said == "store: PostgreSQL needs an extra: pip install 'llmbase[postgres]'"
