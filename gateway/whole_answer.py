"""A whole answer: a body that is all there, and leaves with its head in one write.

aiohttp's own Response looks at every answer for what a chat's never has: cookies, compression, a
body that is a file, a method without one; and at each character of a head for what could end it.
"""

from __future__ import annotations

import time
from email.utils import formatdate
from functools import lru_cache

from aiohttp import HttpVersion10, HttpVersion11, web

from gateway.exchange import Exchange


class WholeAnswer:
    """JSON with status 200, for a request that is no HEAD. It has what aiohttp asks of a response.

    Its headers are the exchange's, which are all fit for a head.
    """

    status = 200

    def __init__(self, exchange: Exchange, body: bytes) -> None:
        self.keep_alive = exchange.keep_alive
        self._exchange = exchange
        self._body = body

    def force_close(self) -> None:
        """Have the connection end with this answer."""
        self.keep_alive = False

    async def prepare(self, request: web.BaseRequest) -> None:
        """Do nothing: the head leaves with the body."""

    async def write_eof(self) -> None:
        """Send it. Raises ConnectionError when the client is gone."""
        await self._exchange.writer.write_eof(self._head().encode() + self._body)

    def _head(self) -> str:
        exchange = self._exchange
        version, lines = exchange.version, exchange.answer_headers.items()
        told = "".join([f"{name}: {value}\r\n" for name, value in lines])
        if not self.keep_alive and version == HttpVersion11:
            told += "Connection: close\r\n"
        elif self.keep_alive and version == HttpVersion10:
            told += "Connection: keep-alive\r\n"
        return (
            f"HTTP/{version.major}.{version.minor} 200 OK\r\n{told}"
            f"Content-Type: application/json\r\nContent-Length: {len(self._body)}\r\n"
            f"Date: {_date(int(time.time()))}\r\n\r\n"
        )


@lru_cache(1)
def _date(second: int) -> str:
    return formatdate(second, usegmt=True)
