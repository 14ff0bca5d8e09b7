"""Takes the body of a request off the wire: JSON, within a size and a time."""

from __future__ import annotations

import asyncio

from aiohttp import HttpVersion11, StreamReader, hdrs, web

from gateway.errors import HttpError, invalid_request, request_timeout, request_too_large
from gateway.exchange import say_continue, waits_with_body

_JSON = "application/json"
_ENCODINGS = ("", "identity", "gzip", "deflate")


class BodyReader:
    """Reads bodies of up to `limit` bytes after inflation, within `seconds`."""

    def __init__(self, limit: int, seconds: float) -> None:
        self._limit = limit
        self._seconds = seconds

    async def expect(self, request: web.BaseRequest) -> None:
        """Answer `Expect: 100-continue`, unless the body would be refused for its length anyway."""
        if waits_with_body(request) and request.version == HttpVersion11 and self._fits(request):
            await say_continue(request)

    def at_hand(self, request: web.BaseRequest) -> bytes | None:
        """Return a body that came with its headers, as most do; None: `rest` is to be waited for.

        Raises HttpError.
        """
        _check_type(request)
        if not self._fits(request):
            raise request_too_large(self._limit)
        content = request.content
        if not content.is_eof():
            return None
        try:
            body = content.read_nowait()
        except web.RequestPayloadError:
            raise _unreadable() from None
        if len(body) > self._limit:
            raise request_too_large(self._limit)
        return body

    async def rest(self, request: web.BaseRequest) -> bytes:
        """Return a body that was not at hand.

        Raises HttpError, or ConnectionError when the client is gone.
        """
        try:
            async with asyncio.timeout(self._seconds):
                return await self._read(request.content)
        except TimeoutError:
            raise request_timeout(self._seconds) from None
        except web.RequestPayloadError:
            raise _unreadable() from None

    async def _read(self, content: StreamReader) -> bytes:
        """Return all of it. `request.read()` would have the request keep it to its end."""
        pieces, size = [], 0
        while not content.at_eof():
            pieces.append(await content.readany())
            size += len(pieces[-1])
            if size > self._limit:
                raise request_too_large(self._limit)
        return pieces[0] if len(pieces) == 1 else b"".join(pieces)

    def _fits(self, request: web.BaseRequest) -> bool:
        return (request.content_length or 0) <= self._limit


def _check_type(request: web.BaseRequest) -> None:
    headers = request.headers
    kind = headers.get(hdrs.CONTENT_TYPE, _JSON)
    if kind != _JSON and kind.split(";", 1)[0].strip().lower() != _JSON:
        raise invalid_request(f"The Content-Type must be {_JSON}.")
    encoding = headers.get(hdrs.CONTENT_ENCODING, "")
    if encoding not in _ENCODINGS and encoding.strip().lower() not in _ENCODINGS:
        raise _unknown_encoding()


def _unreadable() -> HttpError:
    message = "The request body could not be read as its headers describe it."
    return invalid_request(message, close=True)


def _unknown_encoding() -> HttpError:
    return invalid_request("The Content-Encoding must be gzip or deflate, or there must be none.")
