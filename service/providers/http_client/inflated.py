"""Answers that begin, also those that come compressed, although that is not what was asked for."""

from __future__ import annotations

import asyncio
import zlib

from service.providers.http_client.answer_parser import Fields
from service.providers.http_client.response import Response, Source

_AT_A_TIME = 256 * 2**10  # bytes: what came small may be large, and is not made so all at once
_GZIP = 16 + zlib.MAX_WBITS
_CODINGS = frozenset({b"gzip", b"x-gzip", b"deflate"})


def begun(
    source: Source | None,
    status: int,
    fields: Fields,
    body: bytes,
    loop: asyncio.AbstractEventLoop,
) -> Response:
    """Return an answer that has begun, of whose body this has come, in whatever coding."""
    coding = fields.get(b"content-encoding")
    if coding is not None and (coding := coding.strip().lower()) in _CODINGS:
        return InflatedResponse(source, status, fields, body, loop, coding)
    return Response(source, status, fields, body, loop)


class InflatedResponse(Response):
    """A response whose body is one of `_CODINGS`; what cannot be inflated is a body that broke."""

    __slots__ = ("_coding", "_inflater", "_more", "_rest")

    def __init__(
        self,
        source: Source | None,
        status: int,
        fields: Fields,
        body: bytes,
        loop: asyncio.AbstractEventLoop,
        coding: bytes,
    ) -> None:
        super().__init__(source, status, fields, body, loop)
        self.whole = None
        self._coding = coding
        self._inflater: zlib._Decompress | None = None
        self._rest = b""  # compressed
        self._more = False  # whether the inflater may hold something without being fed

    @property
    def at_end(self) -> bool:
        """Whether it is known that another read will bring nothing: only that read can tell."""
        return False

    async def read(self) -> bytes:
        """Return some of what has arrived, b"" at the end: `clean` says which end it was."""
        while True:
            if not (self._rest or self._more):
                self._rest = await super().read()
                if not self._rest:
                    if self._inflater is not None and not self._inflater.eof:
                        self.clean = False
                    return b""
            try:
                data = self._inflate()
            except zlib.error:
                self.close()
                self.clean = self._more = False
                self._rest = b""
                return b""
            if data:
                return data

    def _inflate(self) -> bytes:
        inflater = self._inflater
        if inflater is None or inflater.eof:  # gzip may have several members
            inflater = self._inflater = zlib.decompressobj(self._window())
        data = inflater.decompress(self._rest, _AT_A_TIME)
        self._rest = inflater.unused_data or inflater.unconsumed_tail
        self._more = len(data) == _AT_A_TIME and not inflater.eof
        return data

    def _window(self) -> int:
        if self._coding != b"deflate":
            return _GZIP
        # Many send it without the wrapping of zlib that the standard asks for.
        return zlib.MAX_WBITS if self._rest[0] & 0x0F == zlib.DEFLATED else -zlib.MAX_WBITS
