"""What is written in one turn of the loop, over real sockets: when it leaves, and that it does."""

from __future__ import annotations

import asyncio
import contextlib
import socket
from collections.abc import AsyncIterator

import pytest

from wire.turn import Turn, TurnTransport

TOGETHER = 16
HELD = 64 * 2**10


class Reader(asyncio.Protocol):
    """What the far end of a transport hears of it."""

    def __init__(self) -> None:
        self.paused = 0
        self.lost = asyncio.Event()

    def pause_writing(self) -> None:
        self.paused += 1

    def resume_writing(self) -> None:
        self.paused -= 1

    def connection_lost(self, exc: Exception | None) -> None:
        self.lost.set()


class Line:
    """A transport of a turn, and the socket that it writes to."""

    def __init__(self, transport: TurnTransport, far: socket.socket, reader: Reader) -> None:
        self.transport, self.far, self.reader = transport, far, reader

    def arrived(self) -> bytes:
        """Return what is there by now; b"" when nothing is, and b"end" for the end."""
        try:
            return self.far.recv(2**24) or b"end"
        except BlockingIOError:
            return b""


@contextlib.asynccontextmanager
async def lines(count: int, turn: Turn | None = None) -> AsyncIterator[list[Line]]:
    """Make lines; in the turn before they are there several have written, as in a busy loop."""
    loop = asyncio.get_running_loop()
    turn = turn or Turn(loop)
    made = []
    try:
        for _ in range(count + 2):
            near, far = socket.socketpair()
            far.setblocking(False)
            below, reader = await loop.create_connection(Reader, sock=near)
            made.append(Line(turn.transport(below), far, reader))
        for line in made[count:]:
            line.transport.write(b"x")
        await asyncio.sleep(0)
        yield made[:count]
    finally:
        for line in made:
            line.transport.abort()
            line.far.close()
        await asyncio.sleep(0)


async def test_what_is_written_in_a_turn_leaves_at_its_end():
    async with lines(2) as (one, other):
        one.transport.write(b"a")
        other.transport.write(b"b")
        one.transport.writelines([b"c", b"d"])
        assert [one.arrived(), other.arrived()] == [b"", b""]
        await asyncio.sleep(0)
        assert [one.arrived(), other.arrived()] == [b"acd", b"b"]


async def test_whoever_runs_in_the_same_turn_writes_with_the_others():
    async with lines(2) as (one, other):
        seen = []
        loop = asyncio.get_running_loop()
        loop.call_soon(one.transport.write, b"first")
        loop.call_soon(lambda: seen.append(one.arrived()))
        loop.call_soon(other.transport.write, b"last")
        await asyncio.sleep(0)
        await asyncio.sleep(0)
        assert seen == [b""]
        assert [one.arrived(), other.arrived()] == [b"first", b"last"]


async def test_many_do_not_wait_for_the_end_of_a_long_turn():
    async with lines(TOGETHER) as many:
        for line in many:
            assert many[0].arrived() == b""
            line.transport.write(b"x")
        assert [line.arrived() for line in many] == [b"x"] * TOGETHER
        many[0].transport.write(b"y")
        await asyncio.sleep(0)
        assert many[0].arrived() == b"y"


async def test_every_turn_is_a_new_one():
    async with lines(2) as both:
        for text in (b"a", b"b", b"c"):
            for line in both:
                line.transport.write(text)
            assert both[0].arrived() == b""
            await asyncio.sleep(0)
            assert [line.arrived() for line in both] == [text] * 2


async def test_who_writes_alone_waits_for_nobody_from_its_second_turn_on():
    async with lines(2) as (one, other):
        one.transport.write(b"a")
        assert one.arrived() == b""
        await asyncio.sleep(0)
        assert one.arrived() == b"a"
        for line in (one, one, other):
            line.transport.write(b"b")
            assert line.arrived() == b"b"
            await asyncio.sleep(0)


async def test_who_comes_after_one_that_thought_itself_alone_is_held_and_so_is_the_next_turn():
    async with lines(3) as (one, other, third):
        one.transport.write(b"-")
        await asyncio.sleep(0)
        one.arrived()
        for line in (one, other, third):
            line.transport.write(b"a")
        one.transport.write(b"b")
        assert [line.arrived() for line in (one, other, third)] == [b"a", b"", b""]
        await asyncio.sleep(0)
        assert [line.arrived() for line in (one, other, third)] == [b"b", b"a", b"a"]
        one.transport.write(b"c")
        assert one.arrived() == b""
        await asyncio.sleep(0)
        assert one.arrived() == b"c"


async def test_much_is_written_at_once_and_after_what_was_held():
    async with lines(1) as (line,):
        line.transport.write(b"held")
        line.transport.write(b"x" * HELD)
        assert line.arrived() == b"held" + b"x" * HELD


async def test_a_transport_never_holds_more_than_its_share():
    async with lines(1) as (line,):
        for _ in range(100):
            line.transport.write(b"x" * 2000)
            assert line.transport.get_write_buffer_size() <= HELD


async def test_who_reads_slowly_is_told_of_as_ever():
    async with lines(1) as (line,):
        line.transport.set_write_buffer_limits(1000)
        assert line.transport.get_write_buffer_limits()[1] == 1000
        while not line.reader.paused:
            line.transport.write(b"x" * 30_000)
            await asyncio.sleep(0)
        assert line.transport.get_write_buffer_size() > 1000


async def test_a_buffer_is_not_looked_at_again_after_it_was_written():
    async with lines(1) as (line,):
        buffer = bytearray(b"before")
        line.transport.write(buffer)
        buffer[:] = b"after!"
        await asyncio.sleep(0)
        assert line.arrived() == b"before"


@pytest.mark.parametrize("end", ["close", "write_eof"])
async def test_the_end_comes_after_what_was_held(end: str):
    async with lines(1) as (line,):
        assert line.transport.can_write_eof()
        line.transport.write(b"last words")
        getattr(line.transport, end)()
        await asyncio.sleep(0.01)
        assert line.arrived() == b"last words"
        assert line.arrived() == b"end"


async def test_what_is_held_when_a_connection_is_aborted_is_not_sent():
    async with lines(2) as (gone, other):
        gone.transport.write(b"never")
        other.transport.write(b"still")
        gone.transport.abort()
        assert gone.transport.is_closing()
        await asyncio.sleep(0.01)
        assert gone.arrived() == b"end"
        assert other.arrived() == b"still"


async def test_a_peer_that_is_gone_keeps_nothing_from_the_others():
    async with lines(3) as (one, gone, other):
        gone.far.close()
        await gone.reader.lost.wait()
        for line in (one, gone, other):
            line.transport.write(b"x")
        await asyncio.sleep(0)
        assert [one.arrived(), other.arrived()] == [b"x", b"x"]


@pytest.mark.parametrize("written", [1, TOGETHER])
async def test_one_that_cannot_be_written_to_keeps_nothing_from_the_others(written: int):
    async with lines(TOGETHER) as (bad, *others):
        faults: list[dict[str, object]] = []
        asyncio.get_running_loop().set_exception_handler(lambda _, fault: faults.append(fault))
        bad.transport.write_eof()
        bad.transport.write(b"after the end")
        assert not faults
        for line in others[:written]:
            line.transport.write(b"x")
        await asyncio.sleep(0)
        assert [line.arrived() for line in others[:written]] == [b"x"] * len(others[:written])
        (fault,) = faults
        assert fault["transport"] is bad.transport
        assert isinstance(fault["exception"], RuntimeError)


async def test_reading_is_the_sockets_affair():
    async with lines(1) as (line,):
        line.transport.pause_reading()
        assert not line.transport.is_reading()
        line.transport.resume_reading()
        assert line.transport.is_reading()
        assert line.transport.get_extra_info("socket") is not None
        assert line.transport.get_protocol() is line.reader
        other = Reader()
        line.transport.set_protocol(other)
        assert line.transport.get_protocol() is other


async def test_a_protocol_of_a_server_reads_as_ever_and_writes_by_turns():
    class Echo(asyncio.Protocol):
        def connection_made(self, transport: asyncio.BaseTransport) -> None:
            self.transport = transport
            echoes.append(self)

        def data_received(self, data: bytes) -> None:
            assert isinstance(self.transport, TurnTransport)
            self.transport.write(data)

    echoes: list[Echo] = []
    loop = asyncio.get_running_loop()
    server = await loop.create_server(Turn(loop).protocol(Echo), "127.0.0.1", 0)
    async with server:
        reader, writer = await asyncio.open_connection(*server.sockets[0].getsockname())
        writer.write(b"hello")
        assert await reader.readexactly(5) == b"hello"
        (echo,) = echoes
        assert isinstance(echo.transport, TurnTransport)
        assert echo.transport.get_protocol() is echo
        writer.close()
