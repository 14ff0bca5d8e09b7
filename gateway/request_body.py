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

    async def read(self, request: web.BaseRequest) -> bytes:
        """Return the body. Raises HttpError, or ConnectionError when the client is gone."""
        _check_type(request)
        if not self._fits(request):
            raise request_too_large(self._limit)
        content = request.content
        try:
            if content.is_eof():  # it came with the headers, as most do
                body = content.read_nowait()
            else:
                async with asyncio.timeout(self._seconds):
                    body = await self._read(content)
        except TimeoutError:
            raise request_timeout(self._seconds) from None
        except web.RequestPayloadError:
            message = "The request body could not be read as its headers describe it."
            raise invalid_request(message, close=True) from None
        if len(body) > self._limit:
            raise request_too_large(self._limit)
        return body

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
    kind = request.headers.get(hdrs.CONTENT_TYPE, _JSON)
    if kind != _JSON and kind.split(";", 1)[0].strip().lower() != _JSON:
        raise invalid_request(f"The Content-Type must be {_JSON}.")
    encoding = request.headers.get(hdrs.CONTENT_ENCODING, "")
    if encoding not in _ENCODINGS and encoding.strip().lower() not in _ENCODINGS:
        raise _unknown_encoding()


def _unknown_encoding() -> HttpError:
    return invalid_request("The Content-Encoding must be gzip or deflate, or there must be none.")
