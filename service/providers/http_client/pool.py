"""The connections to one origin: those that wait for a request, and all that have to be closed."""

from __future__ import annotations

import asyncio

from service.providers.http_client.connection import Connection
from service.providers.http_client.dialing import Dialer
from service.providers.http_client.errors import ClientClosed, ConnectionLost
from service.providers.http_client.request_head import Origin
from wire.turn import Turn

IDLE = 30.0  # seconds a connection is kept: shorter than most providers keep theirs


class Pool:
    """As many connections as there are requests at a time, and the idle ones of the last while."""

    def __init__(self, origin: Origin, dialer: Dialer, turn: Turn) -> None:
        self._origin = origin
        self._dialer = dialer
        self._turn = turn
        self._loop = asyncio.get_running_loop()
        self._idle: dict[Connection, None] = {}  # the one that was used last comes last
        self._open: set[Connection] = set()
        self._sweeping: asyncio.TimerHandle | None = None
        self._changed = asyncio.Event()  # set when what lingered is over
        self._closed = False

    def idle(self) -> Connection | None:
        """Return a connection that is there already, the one used last, if there is one."""
        while self._idle:
            connection, _ = self._idle.popitem()
            if connection.is_usable():
                return connection
            connection.abort()
        return None

    async def dial(self) -> Connection:
        """Return a new connection. Raises HttpFailure, OSError."""
        connection = await self._dialer.dial(self._origin, self._make)
        if self._closed:
            connection.abort()
            raise ClientClosed("closed meanwhile")
        if not connection.is_usable():
            connection.abort()
            raise ConnectionLost("closed at once")
        self._open.add(connection)
        return connection

    async def lingered(self) -> None:
        """Wait until no answer lingers: a second at most."""
        while any(connection.lingering for connection in self._open):
            self._changed.clear()
            await self._changed.wait()

    def close(self) -> None:
        """Close all connections, whatever they are doing."""
        self._closed = True
        if self._sweeping is not None:
            self._sweeping.cancel()
            self._sweeping = None
        for connection in list(self._open):
            connection.abort()

    def released(self, connection: Connection) -> None:
        """Keep a connection for the next request."""
        connection.idle_since = self._loop.time()
        self._idle[connection] = None
        if self._sweeping is None:
            self._sweeping = self._loop.call_later(IDLE, self._sweep)

    def lost(self, connection: Connection) -> None:
        """Forget a connection that is closed."""
        self._open.discard(connection)
        self._idle.pop(connection, None)

    def left(self) -> None:
        """Learn that the end of an answer that nobody waited for has come, or will not."""
        self._changed.set()

    def _make(self) -> Connection:
        return Connection(self, self._loop, self._turn)

    def _sweep(self) -> None:
        """Close what has been idle for long; come again when the next will have been."""
        self._sweeping = None
        now = self._loop.time()
        for connection in list(self._idle):
            due = connection.idle_since + IDLE
            if due > now:
                self._sweeping = self._loop.call_at(due, self._sweep)
                return
            connection.abort()
