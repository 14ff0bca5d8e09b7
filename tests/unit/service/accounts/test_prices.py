"""A price table has the version of its content, and is kept once."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from service.accounts.prices import PriceTable
from service.config import ModelConfig
from tests.support.books import AT, fresh


def _models(**prices: dict[str, str] | None) -> dict[str, ModelConfig]:
    return {
        name.replace("_any", "*"): ModelConfig.model_validate(
            {"targets": [{"provider": "acme"}], "pricing": pricing}
        )
        for name, pricing in prices.items()
    }


ONE: dict[str, Any] = {"prompt": "0.000001", "completion": "2"}


def test_the_same_prices_have_the_same_version_however_they_are_written() -> None:
    table = PriceTable(_models(one=ONE, two=None))
    again = PriceTable(_models(three=None, one={"completion": "2.0", "prompt": "0.00000100"}))
    assert table.version == again.version and len(table.version) == 16
    spelled_out = ONE | {"reasoning": "2", "input_cache_read": "0.000001"}
    assert PriceTable(_models(one=spelled_out)).version == table.version


def test_another_price_or_model_is_another_version() -> None:
    versions = {
        PriceTable(models).version
        for models in (
            _models(one=ONE),
            _models(two=ONE),
            _models(one=ONE, two=ONE),
            _models(one=ONE | {"reasoning": "0"}),
            _models(one=ONE | {"prompt": "0.000001000000000001"}),
            _models(),
        )
    }
    assert len(versions) == 6


def test_an_id_has_the_price_of_its_model_or_of_the_longest_wildcard() -> None:
    other = {"prompt": "3", "completion": "4"}
    table = PriceTable(_models(one=ONE, o_any=other, on_any=None))
    assert table.of("one") == PriceTable(_models(x=ONE)).of("x")
    assert table.of("other") == PriceTable(_models(x=other)).of("x")
    assert table.of("once") is None
    assert table.of("two") is None


async def test_a_table_is_kept_once_with_prices_that_can_be_read(
    store_url: str, tmp_path: Path
) -> None:
    table = PriceTable(_models(one=ONE))
    async with fresh(store_url) as database:
        await table.keep(database, AT)
        await table.keep(database, AT + 9)
        async with database.transaction() as connection:
            [row] = (await connection.exec_driver_sql("SELECT * FROM price_tables")).all()
    assert (row.version, row.created) == (table.version, AT)
    assert json.loads(row.prices)["one"] == {
        "prompt": "0.000001",
        "cache_read": "0.000001",
        "cache_write": "0.000001",
        "completion": "2",
        "reasoning": "2",
    }
