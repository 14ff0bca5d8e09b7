"""One server-sent event stream to one client: late headers, keep-alive comments, one end.

Nothing is sent before there is something to send. When nothing was sent for a while, a comment is;
the timer re-arms itself lazily, so a chunk costs no timer, no task and no lock.
"""

from __future__ import annotations

import asyncio

from aiohttp import HttpVersion11

from gateway.answer import Answer, head
from gateway.exchange import Exchange
from gateway.transcoding.chunks import KEEP_ALIVE

_LINES = (
    "Content-Type: text/event-stream; charset=utf-8\r\n"
    "Cache-Control: no-cache\r\n"
    "X-Accel-Buffering: no\r\n"
)


class EventStream(Answer):
    """A streamed answer. `keepalive` is in seconds.

    Its head goes out when the first event does, or with what is known then when the first comment
    does before. One task sends; comments are sent by a task of their own, for which the sender
    waits, so that the two never mix. `close` must be called, whatever happens.
    """

    def __init__(self, exchange: Exchange, keepalive: float) -> None:
        self._exchange = exchange
        self._writer = exchange.writer
        # Who knows no chunks sees the end of a stream in that of the connection.
        self._chunked = exchange.version == HttpVersion11
        self.keep_alive = self._chunked and exchange.keep_alive
        self.started = False  # with the head out, only events can tell the client anything
        self._keepalive = keepalive
        self._loop = asyncio.get_running_loop()
        self._sent_at = self._loop.time()
        self._sending = False
        self._comment: asyncio.Task[None] | None = None
        self._timer = self._loop.call_later(keepalive, self._tick)

    async def start(self) -> None:
        """Send the head, unless a comment has. Raises ConnectionError: the client is gone."""
        await self.settle()
        if not self.started:
            self._sending = True
            await self._send_head()
            self._sending = False

    async def send(self, events: bytes) -> None:
        """Send whole events. Raises ConnectionError when the client is gone."""
        if self._comment is not None:
            await self.settle()
        self._sending = True
        await self._writer.write(events)
        self._sending = False
        self._sent_at = self._loop.time()

    async def settle(self) -> None:
        """Wait until no comment is being sent: afterwards `started` is the truth."""
        if self._comment is not None:
            await self._comment
            self._comment = None

    async def write_eof(self) -> None:
        """End the body, the first time. Raises ConnectionError when the client is gone."""
        await self.settle()
        self.close()
        await self._writer.write_eof()

    def close(self) -> None:
        """Send no more comments."""
        self._timer.cancel()
        if self._comment is not None:
            self._comment.cancel()

    async def _send_head(self) -> None:
        self.started = True
        chunked = "Transfer-Encoding: chunked\r\n" if self._chunked else ""
        await self._writer.write(head(self._exchange, self, _LINES + chunked))
        if self._chunked:
            self._writer.enable_chunking()

    def _tick(self) -> None:
        silent = self._loop.time() - self._sent_at
        if silent < self._keepalive or self._sending:
            self._arm(max(self._keepalive - silent, self._keepalive / 10))
        else:
            self._comment = self._loop.create_task(self._send_comment())

    def _arm(self, delay: float) -> None:
        self._timer = self._loop.call_later(delay, self._tick)

    async def _send_comment(self) -> None:
        try:
            if not self.started:
                await self._send_head()
            await self._writer.write(KEEP_ALIVE)
        except ConnectionError:
            return  # the client is gone: the server cancels the sender, who is told so
        self._sent_at = self._loop.time()
        self._arm(self._keepalive)
