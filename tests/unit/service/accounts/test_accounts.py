"""The room as a whole: what becomes of it where its store can be read, and no more."""

from __future__ import annotations

import asyncio
import contextlib
import random
import sqlite3
from pathlib import Path

import pytest

from service.accounts.accounts import Accounts
from service.accounts.prices import PriceTable
from service.config import Config
from service.store.address import StoreError
from service.store.open import migrate_store
from telemetry.metrics import Metrics

_REFUSE = "BEGIN SELECT RAISE(ABORT, 'permission denied'); END"


def _execute(directory: Path, statement: str) -> None:
    with contextlib.closing(sqlite3.connect(directory / "llmbase.db")) as connection, connection:
        connection.execute(statement)


@pytest.mark.parametrize("table", ["price_tables", "accounts"])
async def test_a_store_that_may_not_be_written_is_said_in_a_line_at_the_start(
    tmp_path: Path, table: str
) -> None:
    key = {"name": "ci", "sha256": "0" * 64, "account": "acme"}
    store = {"url": f"sqlite:///{tmp_path / 'llmbase.db'}"}
    config = Config(providers={}, models={}, keys=[key], store=store)
    assert config.store is not None
    await migrate_store(config.store, tmp_path)
    _execute(tmp_path, f"CREATE TRIGGER refuse BEFORE INSERT ON {table} {_REFUSE}")
    accounts = Accounts(config, tmp_path, Metrics({}), random.Random(1), str)
    try:
        with pytest.raises(StoreError, match=r"^store: .* cannot be written"):
            await accounts.start(config, PriceTable({}))
    finally:
        await accounts.close()


async def test_an_account_that_came_while_the_store_was_away_is_made_when_it_is_back(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("service.accounts.accounts._AGAIN", 0.01)
    store = {"url": f"sqlite:///{tmp_path / 'llmbase.db'}"}
    config = Config(providers={}, models={}, store=store)
    key = {"name": "ci", "sha256": "0" * 64, "account": "acme"}
    accounts = Accounts(config, tmp_path, Metrics({}), random.Random(1), str)
    try:
        await accounts.start(config, PriceTable({}))
        _execute(tmp_path, f"CREATE TRIGGER refuse BEFORE INSERT ON accounts {_REFUSE}")
        changed = Config(providers={}, models={}, store=store, keys=[key])
        await accounts.configure(changed, PriceTable({}))
        assert await accounts.directory.account("acme") is None
        _execute(tmp_path, "DROP TRIGGER refuse")
        async with asyncio.timeout(10):
            while await accounts.directory.account("acme") is None:
                await asyncio.sleep(0.01)
                await accounts.directory.look()
    finally:
        await accounts.close()
