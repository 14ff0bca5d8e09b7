"""Each store in turn, as two processes see it: what must hold of money must hold on both."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from tests.support.postgres import Postgres
from tests.support.stores import Place
from tests.unit.service.accounts.replicas import Clock, Replica, replica


@pytest.fixture(params=["sqlite", "postgresql"])
def store_url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """A fresh database, without tables."""
    if request.param == "sqlite":
        return f"sqlite:///{tmp_path / 'llmbase.db'}"
    postgres: Postgres = request.getfixturevalue("postgres")
    return postgres.new_database()


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
async def here(store_place: Place, clock: Clock) -> AsyncIterator[Replica]:
    """A process."""
    database = await store_place.open()
    yield replica(database, clock, 1)
    await database.close()


@pytest.fixture
async def there(store_place: Place, clock: Clock, here: Replica) -> AsyncIterator[Replica]:
    """Another one."""
    database = await store_place.open()
    yield replica(database, clock, 2)
    await database.close()
