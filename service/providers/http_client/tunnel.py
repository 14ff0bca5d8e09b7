"""A proxy's answer to CONNECT, up to the point from which the bytes are another's."""

from __future__ import annotations

import asyncio
from typing import cast

from service.providers.http_client.answer_parser import AnswerParser
from service.providers.http_client.errors import ConnectionLost, ProxyRefused


class Tunnel(asyncio.Protocol):
    """The connection to a proxy until the tunnel is there; then TLS takes the transport over."""

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self._answer = AnswerParser()
        self._status: asyncio.Future[int] = loop.create_future()
        self.transport: asyncio.Transport | None = None

    async def open(self, address: str, authorization: str | None) -> None:
        """Ask for a tunnel to HOST:PORT. Raises ProxyRefused, ConnectionLost, BadAnswer."""
        lines = [f"CONNECT {address} HTTP/1.1", f"Host: {address}"]
        if authorization is not None:
            lines.append(f"Proxy-Authorization: {authorization}")
        if self.transport is not None:
            self.transport.write("\r\n".join((*lines, "", "")).encode())
        if not 200 <= await self._status < 300:
            raise ProxyRefused("no tunnel")

    def connection_made(self, transport: asyncio.BaseTransport) -> None:  # noqa: D102
        self.transport = cast(asyncio.Transport, transport)

    def data_received(self, data: bytes) -> None:  # noqa: D102
        self._answer.feed(data)  # what a proxy says beside its status is left
        if self._answer.status and not self._status.done():
            self._status.set_result(self._answer.status)
        if self._answer.failure is not None:
            self._fail(self._answer.failure)

    def connection_lost(self, exc: Exception | None) -> None:  # noqa: D102
        self._fail(ConnectionLost("closed by the proxy"))

    def _fail(self, failure: Exception) -> None:
        if not self._status.done():
            self._status.set_exception(failure)
            self._status.exception()  # who asked may have been cancelled: it is nobody's then
