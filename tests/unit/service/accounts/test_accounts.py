"""The room as a whole: what becomes of it where its store can be read, and no more."""

from __future__ import annotations

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


@pytest.mark.parametrize("table", ["price_tables", "accounts"])
async def test_a_store_that_may_not_be_written_is_said_in_a_line_at_the_start(
    tmp_path: Path, table: str
) -> None:
    key = {"name": "ci", "sha256": "0" * 64, "account": "acme"}
    store = {"url": f"sqlite:///{tmp_path / 'llmbase.db'}"}
    config = Config(providers={}, models={}, keys=[key], store=store)
    assert config.store is not None
    await migrate_store(config.store, tmp_path)
    with sqlite3.connect(tmp_path / "llmbase.db") as connection:
        refuse = "BEGIN SELECT RAISE(ABORT, 'permission denied'); END"
        connection.execute(f"CREATE TRIGGER refuse BEFORE INSERT ON {table} {refuse}")
    connection.close()
    accounts = Accounts(config, tmp_path, Metrics({}), random.Random(1), str)
    try:
        with pytest.raises(StoreError, match=r"^store: .* cannot be written"):
            await accounts.start(config, PriceTable({}))
    finally:
        await accounts.close()
