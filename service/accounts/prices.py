"""What models cost the caller: the public prices of one configuration, under a version of them."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping

from sqlalchemy import text

from service.config import ModelConfig
from service.money import Prices, prices_of
from service.routing.router import known_as
from service.store.database import Database

_KEEP = text(
    "INSERT INTO price_tables (version, created, prices) VALUES (:version, :created, :prices) "
    "ON CONFLICT (version) DO NOTHING"
)
_DECIMALS = 18


class PriceTable:
    """`version` is that of its content: the same prices have the same, wherever they are."""

    def __init__(self, models: Mapping[str, ModelConfig]) -> None:
        self._models = models
        self._prices = {
            model_id: prices_of(model.pricing)
            for model_id, model in models.items()
            if model.pricing is not None
        }
        self._named = {key: self._prices.get(key) for key in models if not key.endswith("*")}
        self._text = _canonical(self._prices)
        self.version = hashlib.sha256(self._text.encode()).hexdigest()[:16]

    def of(self, model_id: str) -> Prices | None:
        """Return a model's prices; None where it has none, or there is no such model."""
        if model_id in self._named:
            return self._named[model_id]
        key = known_as(self._models, model_id)
        return self._prices.get(key) if key is not None else None

    async def keep(self, database: Database, now: int) -> None:
        """Write the table down, unless it was already. `now` in Unix seconds. Raises StoreDown."""
        row = {"version": self.version, "created": now, "prices": self._text}
        async with database.transaction() as connection:
            await connection.execute(_KEEP, row)


def _canonical(prices: Mapping[str, Prices]) -> str:
    table = {
        model_id: {name: _dollars(price) for name, price in it._asdict().items()}
        for model_id, it in prices.items()
    }
    return json.dumps(table, sort_keys=True, separators=(",", ":"))


def _dollars(attos: int) -> str:
    """Return a price in US dollars a token, without zeros that say nothing."""
    dollars, rest = divmod(attos, 10**_DECIMALS)
    return f"{dollars}.{rest:0{_DECIMALS}d}".rstrip("0").rstrip(".")
