"""Accounts in a store of each kind, as two processes see them."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest

from tests.support.stores import Place
from tests.unit.service.accounts.replicas import Clock, Replica, replica


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
