"""Reading what a provider sends, without losing what came before a connection broke.

Two things that aiohttp's reader leaves to its user. When the framing of a body is broken, the
connection is closed but a waiting reader is not told. And when a connection is lost, what has
arrived but was not yet read is no longer given.
"""

from __future__ import annotations

import asyncio

import aiohttp


class Body:
    """The bytes of one response, as they come."""

    __slots__ = ("_closed", "_content", "clean")

    def __init__(self, response: aiohttp.ClientResponse) -> None:
        self._content = response.content
        self.clean = True  # whether the body has not been cut, as far as it has been read
        connection = response.connection
        protocol = connection.protocol if connection is not None else None
        self._closed = protocol.closed if protocol is not None else None
        if self._closed is not None:
            # The connection outlives this response: it is not to keep anything of it.
            self._closed.remove_done_callback(_ask)  # of the response before, which did the same
            self._closed.add_done_callback(_ask)
            self._closed.add_done_callback(self._on_closed)
            self._content.on_eof(self._at_eof)

    async def read(self) -> bytes:
        """Return all that has arrived, b"" at the end, be it clean or a cut."""
        try:
            return await self._content.readany()
        except (aiohttp.ClientError, OSError, TimeoutError, RuntimeError):
            # aiohttp's word for a connection that is gone already is a RuntimeError; its other
            # meaning, that somebody else reads, is none here.
            rest = b"" if not self.clean else _unread(self._content)
            self.clean = False
            return rest

    def _at_eof(self) -> None:
        if self._closed is not None:
            self._closed.remove_done_callback(self._on_closed)

    def _on_closed(self, closed: asyncio.Future[None]) -> None:
        if not self._content.is_eof() and self._content.exception() is None:
            self._content.set_exception(aiohttp.ClientPayloadError("the connection was closed"))


def _ask(closed: asyncio.Future[None]) -> None:
    """Ask for the exception of a connection that was lost, so that asyncio does not log it."""
    if not closed.cancelled():
        closed.exception()


def _unread(content: aiohttp.StreamReader) -> bytes:
    """Return what the reader holds in spite of its exception: no public method gives it."""
    pieces = getattr(content, "_buffer", None)
    offset = getattr(content, "_buffer_offset", 0)
    return b"".join(pieces)[offset:] if pieces else b""
