"""The answer to one request: its head, and its body as it comes."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator, Mapping
from typing import Protocol

from service.providers.http_client.answer_parser import Fields


class Source(Protocol):
    """The connection that an answer comes over, until all of it is there."""

    @property
    def paused(self) -> bool:
        """Whether so much is there that nothing more is read."""
        ...

    def resume(self) -> None:
        """Go on reading, if too much had not been taken."""
        ...

    def linger(self) -> None:
        """Read on for a moment, for nobody."""
        ...

    def abort(self) -> None:
        """Close it at once."""
        ...


class Headers(Mapping[str, str]):
    """The fields of a head. Names are the same in any case; of a name's values it has the first."""

    __slots__ = ("_fields",)

    def __init__(self, fields: Fields) -> None:
        """`fields` has its names in lower case."""
        self._fields = fields

    def __getitem__(self, name: str) -> str:
        try:
            return self._fields[name.lower().encode("latin-1")].decode("latin-1").strip(" \t")
        except UnicodeEncodeError:
            raise KeyError(name) from None

    def __iter__(self) -> Iterator[str]:
        return (name.decode("latin-1") for name in self._fields)

    def __len__(self) -> int:
        return len(self._fields)


class Response:
    """An answer that has begun. Whoever holds it closes it; one task reads.

    `ended` says that nothing more will come: all of the body has, or the connection broke, which is
    when `clean` is False. Both may be so before everything has been read. `whole` is the body where
    all of it came with the head: it need not be read.
    """

    __slots__ = (
        "_fields",
        "_loop",
        "_pieces",
        "_source",
        "_waiter",
        "clean",
        "status",
        "unread",
        "whole",
    )

    def __init__(
        self,
        source: Source | None,
        status: int,
        fields: Fields,
        body: bytes,
        loop: asyncio.AbstractEventLoop,
    ) -> None:
        """`body` is what has come with the head; there is no `source` where that is all."""
        self.status = status
        self.clean = True
        self.whole = body if source is None else None
        self.unread = len(body)  # bytes, as they came
        self._fields = fields
        self._loop = loop
        self._source = source
        self._pieces: list[bytes] | None = [body] if body else []  # None: nobody will read
        self._waiter: asyncio.Future[None] | None = None

    @property
    def headers(self) -> Headers:
        """The fields of its head."""
        return Headers(self._fields)

    @property
    def ended(self) -> bool:
        """Whether nothing more will come."""
        return self._source is None

    @property
    def at_end(self) -> bool:
        """Whether it is known that another read will bring nothing."""
        return self._source is None and not self._pieces

    async def read(self) -> bytes:
        """Return all that has arrived, b"" at the end: `clean` says which end it was.

        What came before a connection broke is given as if it had not. Safe to be cancelled.
        """
        while not (pieces := self._pieces):
            if self._source is None:
                return b""
            self._waiter = self._loop.create_future()
            try:
                await self._waiter
            finally:
                self._waiter = None
        data = pieces[0] if len(pieces) == 1 else b"".join(pieces)
        pieces.clear()
        self.unread = 0
        if self._source is not None and self._source.paused:
            self._source.resume()
        return data

    def close(self) -> None:
        """Give up what has not come yet, by closing the connection at once."""
        self._pieces = None
        if self._source is not None:
            self._source.abort()

    def linger(self) -> None:
        """Give up reading; the rest may come within a second, so that its connection is reused."""
        self._pieces = None
        self.unread = 0
        if self._source is not None:
            self._source.resume()
            self._source.linger()

    def feed(self, piece: bytes) -> None:
        """Take a piece of the body. To be called by the connection."""
        if self._pieces is None:
            return
        self._pieces.append(piece)
        self.unread += len(piece)
        if self._waiter is not None and not self._waiter.done():
            self._waiter.set_result(None)

    def end(self, clean: bool) -> None:
        """Learn that nothing more will come. To be called by the connection, which goes its way."""
        self._source = None
        self.clean = clean
        if self._waiter is not None and not self._waiter.done():
            self._waiter.set_result(None)
