"""The connection to the shared limiter: made when it is needed, made again when it was given up."""

from __future__ import annotations

import asyncio
import contextlib
import math
from collections.abc import Callable
from typing import Any, Protocol

from service.accounts.shared_scripts import SCRIPTS

_CONNECT = 2.0  # seconds for a new connection; nobody waits so long


class Connection(Protocol):
    """What is used of redis-py's connections."""

    @property
    def is_connected(self) -> bool: ...  # noqa: D102
    async def connect(self) -> None: ...  # noqa: D102
    async def disconnect(self, nowait: bool = False) -> None: ...  # noqa: D102
    def pack_commands(self, commands: Any) -> list[bytes]: ...  # noqa: D102
    async def send_packed_command(self, command: Any, check_health: bool = True) -> None: ...  # noqa: D102
    async def read_response(self, *, timeout: float | None = None) -> Any: ...  # noqa: D102


class Reconnecting:
    """`make` gives a connection that is not connected yet. One task uses it."""

    def __init__(self, make: Callable[[], Connection]) -> None:
        self._make = make
        self._connection: Connection | None = None
        self._connecting: asyncio.Task[None] | None = None

    async def get(self) -> Connection:
        """Return the connection, with the scripts known at its other end.

        Who is cancelled in here does not end the attempt: making a connection may take longer than
        an answer, and the next who comes finds it made. Raises whatever the attempt raises.
        """
        while self._connection is None or not self._connection.is_connected:
            if self._connecting is None or self._connecting.done():
                self._connecting = asyncio.get_running_loop().create_task(self._connect())
                self._connecting.add_done_callback(look)
            await asyncio.shield(self._connecting)
        return self._connection

    async def drop(self) -> None:
        """Give up the connection, with whatever may still come over it."""
        if self._connection is not None:
            connection, self._connection = self._connection, None
            await _close(connection)

    async def close(self) -> None:
        """Give up what is being made, too."""
        if self._connecting is not None:
            self._connecting.cancel()
            await asyncio.wait([self._connecting])
        await self.drop()

    async def _connect(self) -> None:
        connection = self._make()
        try:
            async with asyncio.timeout(_CONNECT):
                await connection.connect()
                loads = [("SCRIPT", "LOAD", script.text) for script in SCRIPTS]
                packed = connection.pack_commands(loads)
                await connection.send_packed_command(packed, check_health=False)
                for _ in loads:
                    await connection.read_response(timeout=math.inf)
        except BaseException:
            await _close(connection)
            raise
        self._connection = connection


def look(task: asyncio.Task[Any]) -> None:
    """Take note of an error that nobody waits for any longer."""
    if not task.cancelled():
        task.exception()


async def _close(connection: Connection) -> None:
    with contextlib.suppress(Exception):
        await connection.disconnect(nowait=True)
