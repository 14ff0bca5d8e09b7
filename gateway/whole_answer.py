"""A whole answer: a body that is all there, and leaves with its headers in one write.

aiohttp's own Response looks at every answer for what a chat's never has: cookies, compression, a
body that is a file, a method without one.
"""

from __future__ import annotations

import time
from collections.abc import Mapping
from email.utils import formatdate
from functools import lru_cache

from aiohttp import HttpVersion10, HttpVersion11, hdrs, web
from aiohttp.abc import AbstractStreamWriter


class WholeAnswer(web.StreamResponse):
    """JSON with status 200, for a request that is no HEAD."""

    _writer: AbstractStreamWriter | None = None
    _stays = False

    def __init__(self, body: bytes, headers: Mapping[str, str]) -> None:
        super().__init__(headers=headers)
        self.headers[hdrs.CONTENT_TYPE] = "application/json"
        self._json = body

    @property
    def prepared(self) -> bool:
        """Whether the headers are made."""
        return self._writer is not None

    @property
    def keep_alive(self) -> bool:
        """Whether the connection stays open; known when the headers are made."""
        return self._stays

    async def prepare(self, request: web.BaseRequest) -> AbstractStreamWriter:
        """Make the headers; they leave with the body."""
        version, headers = request.version, self.headers
        headers[hdrs.CONTENT_LENGTH] = str(len(self._json))
        headers[hdrs.DATE] = _date(int(time.time()))
        self._stays = request.keep_alive and super().keep_alive is not False
        if not self._stays and version == HttpVersion11:
            headers[hdrs.CONNECTION] = "close"
        elif self._stays and version == HttpVersion10:
            headers[hdrs.CONNECTION] = "keep-alive"
        if isinstance(request, web.Request) and (hooks := request.app.on_response_prepare):
            await hooks.send(request, self)
        self._writer = request.writer
        await self._writer.write_headers(f"HTTP/{version[0]}.{version[1]} 200 OK", headers)
        return self._writer

    async def write_eof(self, data: bytes = b"") -> None:
        """Send it. Raises ConnectionError when the client is gone."""
        if self._writer is not None:
            await self._writer.write_eof(self._json)


@lru_cache(1)
def _date(second: int) -> str:
    return formatdate(second, usegmt=True)
