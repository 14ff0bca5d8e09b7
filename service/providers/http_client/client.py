"""A POST to a provider, over connections that are kept for the next one."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from typing import NamedTuple, Protocol

from service.providers.http_client.dialing import Dialer
from service.providers.http_client.errors import ClientClosed
from service.providers.http_client.pool import Pool
from service.providers.http_client.request_head import HeadWriter, Origin, origin, split_url
from service.providers.http_client.response import Response
from wire.turn import Turn


class Asker(Protocol):
    """Who asks. `sent` is set when the request goes to a connection: before, nobody has seen it."""

    sent: bool


class _Place(NamedTuple):
    """What is known of an origin that was asked before."""

    heads: HeadWriter
    pool: Pool


class _Prepared(NamedTuple):
    """What requests to the same URL with the same headers, which are `asked` for, have in common.

    `head` ends where the length of the body is written; after the `last` no other may follow.
    """

    asked: tuple[object, ...]
    pool: Pool
    head: bytes
    last: bool


class HttpClient:
    """Asks any origin, over HTTP/1.1, as often at a time as it is called.

    It closes `dialer`, which makes its connections.
    """

    _prepared: _Prepared | None = None  # the last: the next request is mostly of the same kind

    def __init__(self, dialer: Dialer) -> None:
        self._dialer = dialer
        self._places: dict[str, _Place] = {}  # there are as many as a configuration has base URLs
        self._turn = Turn(asyncio.get_running_loop())
        self._closed = False

    async def post(
        self, url: str, headers: Mapping[str, str], body: bytes, asker: Asker
    ) -> Response:
        """Return the answer when it begins, whatever its status: no redirect is followed.

        The URL is sent as it is. A request is sent once: one that a kept connection loses may have
        been received. Whoever is cancelled closes the connection. Raises HttpFailure, OSError
        (TimeoutError, ssl.SSLError).
        """
        if self._closed:
            raise ClientClosed("closed before")
        prepared = self._prepared
        asked = (url, *headers.items())
        if prepared is None or prepared.asked != asked:
            prepared = self._prepared = self._prepare(asked, url, headers)
        _, pool, head, last = prepared
        connection = pool.idle() or await pool.dial()
        asker.sent = True
        head = b"%b%d\r\n\r\n" % (head, len(body))
        answer = connection.send(head, body, last=last)
        try:
            return await answer
        except BaseException:
            connection.give_up(answer)
            raise

    async def close(self) -> None:
        """Give lingering answers their second, then close everything."""
        self._closed = True
        for place in self._places.values():
            await place.pool.lingered()
            place.pool.close()
        await self._dialer.close()

    def _prepare(
        self, asked: tuple[object, ...], url: str, headers: Mapping[str, str]
    ) -> _Prepared:
        begin, target = split_url(url)
        place = self._places.get(begin) or self._place(begin)
        return _Prepared(asked, place.pool, *place.heads.write(target, headers))

    def _place(self, begin: str) -> _Place:
        to = origin(begin)
        place = self._places[begin] = _Place(self._heads(to), Pool(to, self._dialer, self._turn))
        return place

    def _heads(self, to: Origin) -> HeadWriter:
        proxy = self._dialer.proxy()
        # A compressed stream arrives late, and a compressed bomb arrives whole.
        always = {"Accept": "*/*", "Accept-Encoding": "identity"}
        if to.authorization is not None:
            always["Authorization"] = to.authorization
        if self._dialer.once:
            always["Connection"] = "close"
        if proxy is None or to.tls:
            return HeadWriter(to.authority, always)
        if proxy.authorization is not None:
            always["Proxy-Authorization"] = proxy.authorization
        return HeadWriter(to.authority, always, prefix=to.url)
