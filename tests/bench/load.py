"""The load: connections that ask, one question at a time, and check every answer."""

from __future__ import annotations

import asyncio
import itertools
import time
from collections.abc import Mapping
from typing import cast

from tests.bench.answers import Streamed, Whole
from tests.bench.questions import Question, body
from tests.bench.wire import ResponseReader, WrongAnswer

_NUMBERS = itertools.count(1)
_LONGEST = 120.0  # seconds for any answer
_ANSWERED = b"HTTP/1.1 200 "
_END = b"0\r\n\r\n"  # of a body in chunks: no event has an empty line with carriage returns
_SIP = 0.05  # seconds between two reads of a slow reader


def question(chunks: int = 1, delay: int = 0) -> Question:
    """A question that was never asked before."""
    return Question(next(_NUMBERS), chunks, delay)


class Door:
    """Where questions are asked, and with which headers."""

    def __init__(self, port: int, headers: Mapping[str, str]) -> None:
        self.port = port
        lines = "".join(f"{name}: {value}\r\n" for name, value in headers.items())
        self._head = (
            f"POST /v1/chat/completions HTTP/1.1\r\nhost: 127.0.0.1:{port}\r\n"
            f"content-type: application/json\r\naccept: */*\r\n{lines}"
        ).encode()

    def request(self, asked: Question, *, stream: bool, image: str = "") -> bytes:
        """The bytes of a request."""
        content = body(asked, stream=stream, image=image)
        return b"%bcontent-length: %d\r\n\r\n%b" % (self._head, len(content), content)

    async def connect(self) -> Client:
        """A new connection."""
        loop = asyncio.get_running_loop()
        _, client = await loop.create_connection(Client, "127.0.0.1", self.port)
        return client


class Client(asyncio.Protocol):
    """One connection. Times are `perf_counter`'s, 0.0 before they have come.

    An answer is checked as it comes, or `later`: then it is kept, and `look` checks it. Where there
    are many, the load would else be the slowest of all, and its time is the subject's.
    """

    def __init__(self) -> None:
        self._loop = asyncio.get_running_loop()
        self._check: Whole | Streamed | None = None
        self._ended: asyncio.Future[None] | None = None
        self._began: asyncio.Future[None] | None = None
        self._slow = False
        self._kept: list[bytes] | None = None  # what is to be checked later
        self._tail = b""  # of what is kept
        self.closed = False
        self.asked_at = self.first_at = self.ended_at = 0.0

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)

    def connection_lost(self, exc: Exception | None) -> None:
        self.closed = True
        self._fail(WrongAnswer(f"the connection was lost inside an answer: {exc!r}"))

    def data_received(self, data: bytes) -> None:
        try:
            if self._check is None:
                raise WrongAnswer(f"bytes that nobody asked for: {data[:80]!r}")
            if not self.first_at:
                self.first_at = time.perf_counter()
                if not data.startswith(_ANSWERED):
                    self._kept = None
            if self._kept is not None:
                self._keep(data, self._kept)
            else:
                self._take(data, self._check)
        except WrongAnswer as wrong:
            self._fail(wrong)
            self._transport.abort()
        if self._slow and not self.closed:
            self._transport.pause_reading()
            self._loop.call_later(_SIP, self._resume)

    def start(
        self, request: bytes, check: Whole | Streamed, *, slow: bool = False, later: bool = False
    ) -> None:
        """Ask. `slow` reads a little, then looks away, again and again."""
        self._reader, self._check, self._slow = ResponseReader(), check, slow
        self._kept, self._tail = [] if later else None, b""
        self._ended = self._loop.create_future()
        self._began = self._loop.create_future()
        self.asked_at, self.first_at, self.ended_at = time.perf_counter(), 0.0, 0.0
        self._transport.write(request)

    async def ended(self) -> None:
        """Wait for the end of the answer. Raises WrongAnswer unless it is right."""
        await self.arrived()
        self.look()

    async def arrived(self) -> None:
        """Wait for the end of the answer; if it is kept, it has yet to be looked at."""
        assert self._ended is not None
        async with asyncio.timeout(_LONGEST):
            await self._ended

    def look(self) -> None:
        """Check what has been kept. Raises WrongAnswer for what is wrong, as far as it has come."""
        kept, self._kept = self._kept, None
        whole = self._tail == _END
        for piece in kept or ():
            if self._check is None:
                raise WrongAnswer(f"bytes after the end of an answer: {piece[:80]!r}")
            self._take(piece, self._check)
        if kept and whole != self._reader.ended:
            raise WrongAnswer("an answer that does not end where it seemed to")

    async def began(self) -> None:
        """Wait for the first text of a streamed answer."""
        assert self._began is not None
        async with asyncio.timeout(_LONGEST):
            await self._began

    def leave(self) -> None:
        """Go away in the middle of the answer, or between two."""
        self._check = self._ended = None
        self._transport.abort()

    def _keep(self, data: bytes, kept: list[bytes]) -> None:
        kept.append(data)
        self._tail = (self._tail + data[-len(_END) :])[-len(_END) :]
        if self._tail == _END and self._ended is not None and not self._ended.done():
            self.ended_at = time.perf_counter()
            self._ended.set_result(None)

    def _take(self, data: bytes, check: Whole | Streamed) -> None:
        reader = self._reader
        content = reader.feed(data)
        if reader.status != 200:
            if reader.status and reader.ended:
                raise WrongAnswer(f"status {reader.status}: {content[:300]!r}")
            return
        if content:
            check.feed(content)
            if self._began is not None and not self._began.done() and check.pieces:
                self._began.set_result(None)
        if reader.ended:
            self.ended_at = self.ended_at or time.perf_counter()
            check.end()
            self._check = None
            if self._ended is not None and not self._ended.done():
                self._ended.set_result(None)

    def _fail(self, wrong: WrongAnswer) -> None:
        for waiting in (self._ended, self._began):
            if waiting is not None and not waiting.done():
                waiting.set_exception(wrong)
                waiting.exception()  # looked at: one that nobody awaits is no news for the loop

    def _resume(self) -> None:
        if not self.closed:
            self._transport.resume_reading()


async def ask(
    door: Door, client: Client, asked: Question, *, stream: bool, image: str = ""
) -> None:
    """Ask on a connection and wait for the right answer."""
    check = Streamed(asked) if stream else Whole(asked)
    client.start(door.request(asked, stream=stream, image=image), check)
    await client.ended()
