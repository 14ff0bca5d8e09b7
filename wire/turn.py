# ruff: noqa: D102 - asyncio says what the methods of a transport do.
"""What is written in one turn of the loop leaves together, at its end.

Who is written to and sleeps has to be woken, which costs the sender most of what a write does: the
kernel, and a processor whose caches and predictions are gone when it is back. A server that answers
forty requests in a turn would wake the same peer forty times, as often as that is done before the
next answer is. Written one after the other the bytes find it awake.

Who writes alone waits for nobody: the peer has it while the rest of the turn is done.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable
from typing import Any, Final, cast

# Transports that write together. The first of them waits for the last; and with this many the peer
# is woken seldom enough.
_TOGETHER: Final = 16
# Bytes that a transport holds back. More are written at once, as they are: they are not copied, and
# who writes much has to meet the socket's own bounds.
_HELD: Final = 64 * 2**10


class Turn:
    """The transports of one loop that have something to write in this turn."""

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self._loop = loop
        self._waiting: list[TurnTransport] = []
        self._begun = 0  # writes in this turn of transports that held nothing
        self._several = False  # in the last turn that had any

    def transport(self, below: asyncio.BaseTransport) -> TurnTransport:
        """Return a transport that writes to this one when the turn ends."""
        return TurnTransport(self, cast(asyncio.Transport, below))

    def protocol(self, make: Callable[[], asyncio.Protocol]) -> Callable[[], asyncio.Protocol]:
        """Return what makes the same protocols for a server, each with such a transport."""
        return lambda: _Introduction(self, make())

    def begin(self) -> bool:
        """Count a write of a transport that holds nothing; return whether it need not wait.

        Whether others come after it is not known: it is taken to be as it was in the last turn.
        """
        self._begun += 1
        if self._begun > 1:
            return False
        self._loop.call_soon(self._end)
        return not self._several

    def add(self, transport: TurnTransport) -> None:
        """Have a transport that has begun to hold something write it."""
        self._waiting.append(transport)
        if len(self._waiting) >= _TOGETHER:
            self._write()

    def _end(self) -> None:
        self._several = self._begun > 1
        self._begun = 0
        if self._waiting:
            self._write()

    def _write(self) -> None:
        waiting, self._waiting = self._waiting, []
        for transport in waiting:
            try:
                transport.flush()
            except Exception as error:  # whatever is wrong with it, the others' bytes must leave
                self._loop.call_exception_handler(
                    {"message": "what was held is lost", "exception": error, "transport": transport}
                )


class TurnTransport(asyncio.Transport):
    """A transport whose small writes leave with others' of the turn; made by `Turn.transport`."""

    __slots__ = ("_below", "_held", "_size", "_turn", "is_closing", "resume_reading")

    # Asked for with every request, and only passed on.
    is_closing: Callable[[], bool]
    resume_reading: Callable[[], None]

    def __init__(self, turn: Turn, below: asyncio.Transport) -> None:
        super().__init__()
        self._turn = turn
        self._below = below
        self._held: list[bytes] = []
        self._size = 0
        self.is_closing = below.is_closing
        self.resume_reading = below.resume_reading

    def write(self, data: bytes | bytearray | memoryview) -> None:
        held, size = self._held, len(data)
        if self._size + size > _HELD:
            self.flush()
        elif held or not self._turn.begin():
            # What is not bytes may be somebody's buffer, and hold something else by then.
            held.append(data if type(data) is bytes else bytes(data))
            self._size += size
            if len(held) == 1:
                self._turn.add(self)
            return
        self._below.write(data)

    def writelines(self, list_of_data: Iterable[bytes | bytearray | memoryview]) -> None:
        self.write(b"".join(list_of_data))

    def flush(self) -> None:
        """Write what is held, unless nobody can be written to any more."""
        held = self._held
        if not held:
            return
        data = b"".join(held)  # no copy where it is one
        held.clear()
        self._size = 0
        if not self.is_closing():
            self._below.write(data)

    def close(self) -> None:
        self.flush()
        self._below.close()

    def abort(self) -> None:
        self._held, self._size = [], 0
        self._below.abort()

    def write_eof(self) -> None:
        self.flush()
        self._below.write_eof()

    def can_write_eof(self) -> bool:
        return self._below.can_write_eof()

    def get_write_buffer_size(self) -> int:
        return self._size + self._below.get_write_buffer_size()

    def get_write_buffer_limits(self) -> tuple[int, int]:
        return self._below.get_write_buffer_limits()

    def set_write_buffer_limits(self, high: int | None = None, low: int | None = None) -> None:
        self._below.set_write_buffer_limits(high, low)

    def pause_reading(self) -> None:
        self._below.pause_reading()

    def is_reading(self) -> bool:
        return self._below.is_reading()

    def get_extra_info(self, name: str, default: Any = None) -> Any:
        return self._below.get_extra_info(name, default)

    def set_protocol(self, protocol: asyncio.BaseProtocol) -> None:
        self._below.set_protocol(protocol)

    def get_protocol(self) -> asyncio.BaseProtocol:
        return self._below.get_protocol()


class _Introduction(asyncio.Protocol):
    """Stands in for a protocol until that has its transport: what is read goes to it directly."""

    def __init__(self, turn: Turn, protocol: asyncio.Protocol) -> None:
        self._turn = turn
        self._protocol = protocol

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        transport.set_protocol(self._protocol)
        self._protocol.connection_made(self._turn.transport(transport))
