"""Doors for the tests of this folder; everything that is opened is closed."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from typing import Any

import pytest

from tests.unit.channel.doors import IN_PROCESS, RELAY, WIRE, Door, Open, open_door


@pytest.fixture(params=[WIRE, IN_PROCESS, RELAY])
def kind(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture
async def open_both(kind: str) -> AsyncIterator[Open]:
    """Opens a door of each kind in turn for the test's handlers."""
    async with AsyncExitStack() as stack:

        async def enter(**handlers: Any) -> Door:
            return await stack.enter_async_context(open_door(kind, **handlers))

        yield enter


@pytest.fixture
async def open_in_process() -> AsyncIterator[Open]:
    """Opens an in-process door for the test's handlers."""
    async with AsyncExitStack() as stack:

        async def enter(**handlers: Any) -> Door:
            return await stack.enter_async_context(open_door(IN_PROCESS, **handlers))

        yield enter
