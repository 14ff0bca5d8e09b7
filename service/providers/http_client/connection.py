"""One connection: a request goes out, its answer is read as it comes; then it may be used again."""

from __future__ import annotations

import asyncio
from typing import Protocol

from service.providers.http_client.answer_parser import AnswerParser
from service.providers.http_client.errors import BadAnswer, ConnectionLost
from service.providers.http_client.inflated import begun
from service.providers.http_client.response import Response
from wire.turn import Turn, TurnTransport

_ONE_WRITE = 64 * 2**10  # bytes of a body that go out with the head
_SLICE = 256 * 2**10  # bytes of a larger one that are written at a time
_MOST_UNREAD = 256 * 2**10  # bytes that are there before the provider has to wait for the reader
_LINGER = 1.0  # seconds


class Keeper(Protocol):
    """Has the connections that are not in use."""

    def released(self, connection: Connection) -> None:
        """Take a connection whose answer is over, and that may be used again."""
        ...

    def lost(self, connection: Connection) -> None:
        """Forget a connection that is closed, or about to be."""
        ...

    def left(self) -> None:
        """Learn that an answer lingers no longer."""
        ...


class Connection(asyncio.Protocol):
    """Made by what dials. `idle_since` is when its last answer was over, in the loop's time."""

    def __init__(self, keeper: Keeper, loop: asyncio.AbstractEventLoop, turn: Turn) -> None:
        self.idle_since = 0.0
        self.paused = False  # nothing is read for now
        self._keeper = keeper
        self._loop = loop
        self._turn = turn
        self._transport: TurnTransport | None = None
        self._answer = AnswerParser()
        self._waiter: asyncio.Future[Response] | None = None  # for an answer to begin
        self._response: Response | None = None  # the answer that has begun, until it is over
        self._unsent: memoryview | None = None
        self._full = False  # the transport has enough to write for now
        self._last = False  # no request may follow the one that is being answered
        self._closed = False
        self._lingering: asyncio.TimerHandle | None = None

    def is_usable(self) -> bool:
        """Whether nothing is known that would keep a request from being sent."""
        return self._transport is not None and not self._closed and not self._transport.is_closing()

    @property
    def lingering(self) -> bool:
        """Whether it reads the end of an answer that nobody waits for."""
        return self._lingering is not None

    def send(self, head: bytes, body: bytes, *, last: bool) -> asyncio.Future[Response]:
        """Send a request, and return what gives its answer when that begins.

        `last`: none will follow it. The body goes on being sent while the answer is read. Whoever
        stops waiting calls `give_up`. What is awaited raises ConnectionLost, BadAnswer; this raises
        ConnectionLost where it is known before.
        """
        transport = self._transport
        if transport is None or self._closed:
            raise ConnectionLost("closed before the request was sent")
        self._last = last
        waiter: asyncio.Future[Response] = self._loop.create_future()
        self._waiter = waiter
        try:
            if len(body) <= _ONE_WRITE:
                transport.write(head + body)
            else:
                transport.write(head)
                transport.flush()  # or nobody would say that the socket is full already
                self._unsent = memoryview(body)
                self._write_on()
        except BaseException:
            self.abort()
            raise
        return waiter

    def give_up(self, waiter: asyncio.Future[Response]) -> None:
        """Close the connection, if it still is that of what `send` returned."""
        if self._waiter is waiter:
            self.abort()
        elif not waiter.cancelled() and waiter.exception() is None:
            waiter.result().close()  # by now the connection may be somebody else's

    def resume(self) -> None:
        """Go on reading, if too much had not been taken."""
        if self.paused and self._transport is not None:
            self.paused = False
            self._transport.resume_reading()

    def linger(self) -> None:
        """Wait a second for the end of an answer that nobody reads."""
        if self._lingering is None:
            self._lingering = self._loop.call_later(_LINGER, self.abort)

    def abort(self) -> None:
        """Close it at once, whatever it is doing: an answer that has begun is cut."""
        self._close(clean=False)

    # What the transport calls.

    def connection_made(self, transport: asyncio.BaseTransport) -> None:  # noqa: D102
        self._transport = self._turn.transport(transport)

    def data_received(self, data: bytes) -> None:  # noqa: D102
        waiter, response, answer = self._waiter, self._response, self._answer
        if response is None and waiter is None:
            self.abort()  # an answer to nothing: whatever followed it would be read wrongly
            return
        body = answer.feed(data)
        if response is not None:
            if body:
                response.feed(body)
        elif waiter is not None and answer.status:
            self._waiter = None
            if waiter.done():  # who asked has given up
                self.abort()
                return
            source = None if answer.over else self
            begin = begun if b"content-encoding" in answer.fields else Response
            response = begin(source, answer.status, answer.fields, body, self._loop)
            waiter.set_result(response)
            if not answer.over:
                self._response = response
        if answer.failure is not None:
            self._close(answer.failure, clean=answer.over)
        elif answer.over:
            self._release()
        elif response is not None and response.unread > _MOST_UNREAD:
            self._pause()

    def eof_received(self) -> None:  # noqa: D102
        # At once: what is still to be written would hold up the end, and nobody will read it.
        self._close(clean=self._answer.until_closed)

    def connection_lost(self, exc: Exception | None) -> None:  # noqa: D102
        self._close(clean=self._answer.until_closed and exc is None)
        self._transport = None
        self._answer.close()

    def pause_writing(self) -> None:  # noqa: D102
        self._full = True

    def resume_writing(self) -> None:  # noqa: D102
        self._full = False
        self._write_on()

    def _write_on(self) -> None:
        while self._unsent and not self._full and self._transport is not None:
            piece, self._unsent = self._unsent[:_SLICE], self._unsent[_SLICE:]
            self._transport.write(piece)

    def _pause(self) -> None:
        if not self.paused and self._transport is not None:
            self.paused = True
            self._transport.pause_reading()

    def _release(self) -> None:
        """Let the connection be used for another request, if it may be."""
        transport = self._transport
        if (
            self._last
            or not self._answer.keeps
            or self._unsent
            or transport is None
            or transport.get_write_buffer_size()
        ):
            self._close(clean=True)
            return
        self._unsent = None
        if self._lingering is not None:
            self._stop_lingering(self._lingering)
        if self.paused:
            self.resume()
        if self._response is not None:
            self._response.end(clean=True)
            self._response = None
        self._answer.expect()  # and keep nothing of this one
        self._keeper.released(self)

    def _close(self, failure: BadAnswer | None = None, *, clean: bool) -> None:
        """Close the connection at once, and tell all who wait for it."""
        if self._transport is not None:
            self._transport.abort()
        if self._closed:
            return
        self._closed = True
        self._unsent = None
        if self._lingering is not None:
            self._stop_lingering(self._lingering)
        waiter, self._waiter = self._waiter, None
        if waiter is not None and not waiter.done():
            waiter.set_exception(failure or ConnectionLost("closed before the answer began"))
        response, self._response = self._response, None
        if response is not None:
            response.end(clean)
        self._keeper.lost(self)

    def _stop_lingering(self, timer: asyncio.TimerHandle) -> None:
        timer.cancel()
        self._lingering = None
        self._keeper.left()
