"""A provider that does exactly what a script says, byte by byte, and remembers what it saw.

It speaks HTTP/1.1 over raw sockets, so that it can also do what no server library would: stop in
the middle of a chunk, reset the connection, answer with garbage. It runs in the loop of a test
(`async with ScriptedUpstream()`) or, for processes that outlive a test and for clients that
block, in a thread of its own (`with ScriptedUpstream().in_thread()`); it is used the same way.
"""

from __future__ import annotations

import asyncio
import contextlib
import socket
import struct
import threading
import time
from collections import defaultdict, deque
from collections.abc import Iterator
from typing import Self

from conformance.upstream.http_wire import head, take_request
from conformance.upstream.scripts import Framing, Plan, Request, Script
from conformance.upstream.signals import Signal


class Exchange:
    """One request and the answer to it."""

    def __init__(self, request: Request, connection: _Connection) -> None:
        self.request = request
        self.began_at = time.monotonic()
        self.left = Signal()  # the peer closed its side while the answer was still open
        self.done = Signal()  # the script has run to its end, or cut the connection
        self._connection = connection

    async def send(self, data: bytes) -> None:
        """Write, and wait while the peer does not read."""
        await self._connection.send(data)

    def close(self, linger: int | None = None) -> None:
        """End the connection: with what is still to be sent, or at once by RST (`linger=0`)."""
        self.done.set()
        self._connection.close(linger)


class ScriptedUpstream:
    """The server: plans by model name, the record of what was asked, and where it listens."""

    def __init__(self, port: int = 0) -> None:
        self.port = port  # 0: a free one
        self._loop: asyncio.AbstractEventLoop | None = None
        self._connections: set[_Connection] = set()
        self.reset()

    def url(self, prefix: str = "") -> str:
        """The base URL, below a path prefix that tells one provider from another."""
        return f"http://127.0.0.1:{self.port}{prefix}/v1"

    def reset(self) -> None:
        """Forget plans and record, and drop the connections whose answers are still open."""
        self._plans: dict[str, deque[Plan]] = {}
        self._otherwise: Plan | None = None
        self._arrivals: defaultdict[int, Signal] = defaultdict(Signal)
        self.exchanges: list[Exchange] = []
        self.unscripted: list[Request] = []
        self.mistakes: list[Exception] = []
        if self._loop is not None and not self._loop.is_closed():
            self._loop.call_soon_threadsafe(self._drop_open)

    def on(self, model: str, *plans: Plan) -> None:
        """Answer requests for `model` by these plans in order; the last one stays."""
        self._plans[model] = deque(plans)

    def otherwise(self, plan: Plan) -> None:
        """Answer every request that no plan of `on` is for."""
        self._otherwise = plan

    async def arrival(self, number: int = 1, timeout: float = 10.0) -> Exchange:
        """The `number`-th exchange since the last reset, as soon as its request is here."""
        await self._arrivals[number].wait(timeout)
        return self.exchanges[number - 1]

    @property
    def requests(self) -> list[Request]:
        """What it was asked, in order."""
        return [exchange.request for exchange in self.exchanges]

    @property
    def connections(self) -> int:
        """How many connections are open now, idle ones among them."""
        return len(self._connections)

    def begin(self, exchange: Exchange) -> Script:
        """Record an exchange and choose its script; for the connections."""
        request = exchange.request
        self.exchanges.append(exchange)
        self._arrivals[len(self.exchanges)].set()
        plans = self._plans.get(request.model)
        plan = self._otherwise if not plans else plans.popleft() if len(plans) > 1 else plans[0]
        if plan is None:
            self.unscripted.append(request)
            return Script([b'{"error":{"message":"no script"}}'], status=501)
        return plan if isinstance(plan, Script) else plan(request)

    async def __aenter__(self) -> Self:
        self._loop = asyncio.get_running_loop()
        self._server = await self._loop.create_server(
            lambda: _Connection(self, self._connections), "127.0.0.1", self.port
        )
        self.port = self._server.sockets[0].getsockname()[1]
        return self

    async def __aexit__(self, *_: object) -> None:
        self._server.close()
        connections = list(self._connections)
        for connection in connections:
            connection.close(linger=0)
        await asyncio.gather(*(connection.closed() for connection in connections))

    @contextlib.contextmanager
    def in_thread(self) -> Iterator[Self]:
        """Run in a thread with a loop of its own for as long as the context is open."""
        ready, stop = threading.Event(), Signal()

        async def serve() -> None:
            async with self:
                ready.set()
                await stop.wait(timeout=86_400)

        thread = threading.Thread(target=asyncio.run, args=(serve(),), name="upstream")
        thread.start()
        try:
            assert ready.wait(10), "the scripted upstream did not start"
            yield self
        finally:
            stop.set()
            thread.join(10)

    def _drop_open(self) -> None:
        for connection in list(self._connections):
            if connection.busy:
                connection.close(linger=0)


class _Connection(asyncio.Protocol):
    """One TCP connection: requests one after another, each answered by its script."""

    def __init__(self, upstream: ScriptedUpstream, connections: set[_Connection]) -> None:
        self._upstream = upstream
        self._connections = connections
        self._unread = bytearray()
        self._writable = asyncio.Event()
        self._writable.set()
        self._lost = asyncio.Event()
        self._task: asyncio.Task[None] | None = None
        self._exchange: Exchange | None = None

    @property
    def busy(self) -> bool:
        return self._exchange is not None

    async def closed(self) -> None:
        await self._lost.wait()
        if self._task is not None:
            await asyncio.wait([self._task])

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        transport.set_write_buffer_limits(high=65_536)
        self._transport = transport
        self._connections.add(self)

    def data_received(self, data: bytes) -> None:
        self._unread += data
        self._answer_next()

    def eof_received(self) -> None:
        self._peer_left()

    def connection_lost(self, _: Exception | None) -> None:
        self._peer_left()
        self._connections.discard(self)
        self._lost.set()

    def pause_writing(self) -> None:
        self._writable.clear()

    def resume_writing(self) -> None:
        self._writable.set()

    async def send(self, data: bytes) -> None:
        if self._transport.is_closing():
            return
        self._transport.write(data)
        await self._writable.wait()

    def close(self, linger: int | None) -> None:
        self._exchange = None
        if linger is None:
            self._transport.close()
            return
        sock: socket.socket = self._transport.get_extra_info("socket")
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, linger))
        self._transport.abort()
        if self._task is not None and self._task is not asyncio.current_task():
            self._task.cancel()

    def _peer_left(self) -> None:
        if self._exchange is not None:
            self._exchange.left.set()
            self._exchange = None
            if self._task is not None:
                self._task.cancel()

    def _answer_next(self) -> None:
        if self._exchange is None and (request := take_request(self._unread)) is not None:
            self._exchange = Exchange(request, self)
            self._task = asyncio.get_running_loop().create_task(self._answer(self._exchange))

    async def _answer(self, exchange: Exchange) -> None:
        try:
            await self._perform(self._upstream.begin(exchange), exchange)
        except Exception as error:  # a test's own mistake: it must be seen, and not as a hang
            self._upstream.mistakes.append(error)
            exchange.close(linger=0)

    async def _perform(self, script: Script, exchange: Exchange) -> None:
        for step in script.before:
            await step(exchange)
        if script.framing is not Framing.RAW:
            await exchange.send(head(script))
        for piece in script.pieces:
            if not isinstance(piece, bytes):
                await piece(exchange)
            elif script.framing is Framing.CHUNKED:
                await exchange.send(b"%x\r\n%b\r\n" % (len(piece), piece))
            else:
                await exchange.send(piece)
            if exchange.done.at is not None:
                return
        if script.framing is Framing.CHUNKED:
            await exchange.send(b"0\r\n\r\n")
        self._exchange = None
        exchange.done.set()
        if script.framing is Framing.CLOSE:
            self._transport.close()
        else:
            self._answer_next()
