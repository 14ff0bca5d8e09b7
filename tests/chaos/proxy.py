"""A TCP proxy before a provider whose connections go wrong, each in a way of its own."""

from __future__ import annotations

import asyncio
import contextlib
import random
import socket
import struct
from collections import Counter
from typing import Self

# What a connection does, and how likely that is, once so many bytes of answers went through it.
FAULTS = {
    "none": 40,
    "delay": 15,
    "reset": 10,
    "half-close": 10,
    "drip": 10,
    "garbage": 10,
    "black hole": 5,
}
_MOST_BEFORE = 6_000  # bytes
_PIECE = 65_536
# No byte of it can be in JSON, so that what it spoils can never be taken for an answer.
_GARBAGE = bytes(range(1, 9)) + b"\xff\xfe"


class FaultProxy:
    """Listens before the provider at `port`; the n-th connection's fate is drawn from the seed.

    `share` is the part of connections that are drawn for at all; the others are left alone.
    """

    def __init__(self, port: int, seed: str, share: float) -> None:
        self._upstream = port
        self._seed = seed
        self._share = share
        self._number = 0
        self._tasks: set[asyncio.Task[None]] = set()
        self.port = 0
        self.done: Counter[str] = Counter()  # faults that came about

    async def __aenter__(self) -> Self:
        self._server = await asyncio.start_server(self._accept, "127.0.0.1", 0, limit=_PIECE)
        self.port = self._server.sockets[0].getsockname()[1]
        return self

    async def __aexit__(self, *_: object) -> None:
        self._server.close()
        for task in tuple(self._tasks):
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    async def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._tasks.add(task)
        self._number += 1
        chance = random.Random(f"{self._seed}:{self._number}")
        try:
            up_reader, up_writer = await asyncio.open_connection("127.0.0.1", self._upstream)
            down = asyncio.ensure_future(self._answers(up_reader, writer, chance))
            try:
                await _pump(reader, up_writer)  # ends when the service has let go
            finally:
                down.cancel()
                await asyncio.gather(down, return_exceptions=True)
                up_writer.transport.abort()
        except (OSError, asyncio.CancelledError):
            pass
        finally:
            writer.transport.abort()
            self._tasks.discard(task)

    async def _answers(
        self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, chance: random.Random
    ) -> None:
        fault = "none"
        if chance.random() < self._share:
            fault = chance.choices([*FAULTS], weights=[*FAULTS.values()])[0]
        room = chance.randrange(_MOST_BEFORE)
        with contextlib.suppress(OSError):
            while data := await reader.read(_PIECE):
                if fault != "none" and len(data) >= room:
                    writer.write(data[:room])
                    self.done[fault] += 1
                    if not await self._spoil(fault, data[room:], writer, chance):
                        return
                    fault = "none"
                else:
                    writer.write(data)
                    room -= len(data)
                await writer.drain()
            writer.close()

    async def _spoil(
        self, fault: str, rest: bytes, writer: asyncio.StreamWriter, chance: random.Random
    ) -> bool:
        """Do it. Returns whether the connection goes on."""
        if fault == "reset":
            sock: socket.socket = writer.get_extra_info("socket")
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            writer.transport.abort()
            return False
        if fault == "half-close":
            await writer.drain()
            writer.write_eof()
            return False
        if fault == "black hole":
            return False
        if fault == "delay":
            await asyncio.sleep(chance.uniform(0.05, 0.5))
        elif fault == "garbage":
            rest = bytes(chance.choices(_GARBAGE, k=chance.randrange(1, 50))) + rest
        elif fault == "drip":
            for byte in rest[:150]:
                writer.write(bytes([byte]))
                await writer.drain()
                await asyncio.sleep(0)
            rest = rest[150:]
        writer.write(rest)
        return True


async def _pump(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    while data := await reader.read(_PIECE):
        writer.write(data)
        await writer.drain()
