"""How long a transaction may take, in virtual time: for as long, a call waits for the store."""

from __future__ import annotations

import asyncio
import contextlib
from typing import Any

import pytest

from service.store.database import Database, StoreDown
from service.store.direct import Unsure
from tests.unit.virtual_time import in_virtual_time, now


async def _hangs(*_: object) -> Any:
    await asyncio.Event().wait()


@contextlib.asynccontextmanager
async def hanging(monkeypatch: pytest.MonkeyPatch, *patience: float) -> Any:
    """A database that takes no connection."""
    database = Database("sqlite://", *patience)
    monkeypatch.setattr(database._direct, "run", _hangs)
    monkeypatch.setattr(database, "_connect", _hangs)
    try:
        yield database
    finally:
        await database.close()


@pytest.mark.parametrize(("patience", "seconds"), [((), 5), ((7.0,), 7)])
@in_virtual_time
async def test_it_is_given_up_in_time_whatever_it_does(
    monkeypatch: pytest.MonkeyPatch, patience: tuple[float, ...], seconds: float
) -> None:
    async with hanging(monkeypatch, *patience) as database:
        with pytest.raises(Unsure):
            await database.run(_hangs)
        assert now() == seconds
        with pytest.raises(StoreDown):
            async with database.reading():
                pass
        assert now() == 2 * seconds
        with pytest.raises(StoreDown):
            async with database.transaction():
                pass
        assert now() == 3 * seconds
