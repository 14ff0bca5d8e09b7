"""One server-sent event stream to one client: late headers, keep-alive comments, one end.

Nothing is sent before there is something to send. When nothing was sent for a while, a comment is;
the timer re-arms itself lazily, so a chunk costs no timer, no task and no lock.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping

from aiohttp import web

from gateway.exchange import Exchange
from gateway.transcoding.chunks import KEEP_ALIVE

_HEADERS = {
    "Content-Type": "text/event-stream; charset=utf-8",
    "Cache-Control": "no-cache",
    "X-Accel-Buffering": "no",
}


class EventStream:
    """The body of a streamed answer. `keepalive` is in seconds.

    The exchange's headers go out when the first comment is sent before the first event; `start`
    gives the full ones. One task sends; comments are sent by a task of their own, for which the
    sender waits, so that the two never mix. `close` must be called, whatever happens.
    """

    def __init__(self, exchange: Exchange, keepalive: float) -> None:
        self._exchange = exchange
        self._keepalive = keepalive
        self._loop = asyncio.get_running_loop()
        self._sent_at = self._loop.time()
        self._sending = False
        self._comment: asyncio.Task[None] | None = None
        self._timer = self._loop.call_later(keepalive, self._tick)
        self.response = web.StreamResponse(headers={**_HEADERS, **exchange.answer_headers})

    @property
    def started(self) -> bool:
        """Whether the headers are out: then only events can tell the client anything."""
        return self.response.prepared

    async def start(self, headers: Mapping[str, str]) -> None:
        """Send the headers, unless a comment has. Raises ConnectionError: the client is gone."""
        await self.settle()
        if not self.started:
            self._sending = True
            self.response.headers.update(headers)
            await self.response.prepare(self._exchange)
            self._sending = False

    async def send(self, events: bytes) -> None:
        """Send whole events. Raises ConnectionError when the client is gone."""
        if self._comment is not None:
            await self.settle()
        self._sending = True
        await self.response.write(events)
        self._sending = False
        self._sent_at = self._loop.time()

    async def settle(self) -> None:
        """Wait until no comment is being sent: afterwards `started` is the truth."""
        if self._comment is not None:
            await self._comment
            self._comment = None

    async def end(self) -> None:
        """End the body. Raises ConnectionError when the client is gone."""
        await self.settle()
        self.close()
        await self.response.write_eof()

    def close(self) -> None:
        """Send no more comments."""
        self._timer.cancel()
        if self._comment is not None:
            self._comment.cancel()

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
            await self.response.prepare(self._exchange)
            await self.response.write(KEEP_ALIVE)
        except ConnectionError:
            return  # the client is gone: the server cancels the sender, who is told so
        self._sent_at = self._loop.time()
        self._arm(self._keepalive)
