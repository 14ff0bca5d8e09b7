"""New connections: the name, TCP to whichever address answers first, a proxy's tunnel, TLS."""

from __future__ import annotations

import asyncio
import socket
import ssl
from collections.abc import Callable
from functools import lru_cache
from typing import TypeVar

import aiohappyeyeballs

from service.providers.http_client.connection import Connection
from service.providers.http_client.names import AddressInfo, Names
from service.providers.http_client.request_head import Origin, origin, split_url
from service.providers.http_client.tunnel import Tunnel

_NEXT_ADDRESS = 0.25  # seconds until another address is tried beside the first (RFC 8305)

P = TypeVar("P", bound=asyncio.Protocol)


class Dialer:
    """Makes connections, each within so many seconds.

    Without `tls` the system's roots are trusted. `proxy` is a URL, with user info if it asks for
    that. `unix` is the path of a socket that is connected to whatever the host; who listens there
    is taken to have a thread for each connection, so that every one is used `once`.
    """

    def __init__(
        self,
        seconds: float,
        *,
        tls: ssl.SSLContext | None = None,
        proxy: str | None = None,
        unix: str | None = None,
    ) -> None:
        self.once = unix is not None
        self._proxy = proxy
        self._seconds = seconds
        self._tls = tls
        self._unix = unix
        self._names = Names()

    def proxy(self) -> Origin | None:
        """Return the proxy on the way to any host. Raises RequestRefused where its URL is none."""
        if self._proxy is None or self.once:
            return None
        return origin(split_url(self._proxy)[0])

    async def dial(self, to: Origin, make: Callable[[], Connection]) -> Connection:
        """Connect what `make` makes. Raises HttpFailure, OSError (TimeoutError, ssl.SSLError)."""
        loop = asyncio.get_running_loop()
        async with asyncio.timeout(self._seconds):
            if self._unix is not None:
                _, connection = await loop.create_unix_connection(make, self._unix)
                return connection
            proxy = self.proxy()
            if proxy is not None and to.tls:
                return await self._through(proxy, to, make)
            return await self._connect(proxy or to, make)

    async def close(self) -> None:
        """Leave what is being looked up."""
        await self._names.close()

    async def _connect(self, to: Origin, make: Callable[[], P]) -> P:
        loop = asyncio.get_running_loop()
        addresses = await self._names.look_up(to.host, to.port)
        while True:
            sock, address = await self._reach(to, addresses)
            if not to.tls:
                _, protocol = await loop.create_connection(make, sock=sock)
                return protocol
            try:
                # One after the other: of a connection that is reset while uvloop does both it has
                # closed the descriptor, but not `sock`, which then closes whatever has that by now.
                below, _ = await loop.create_connection(asyncio.Protocol, sock=sock)
                return await self._secure(below, to, make)
            except ssl.SSLCertVerificationError:
                raise
            except OSError:
                # Who takes a connection and does no TLS may be at no more than this address.
                addresses.remove(address)
                if not addresses:
                    raise

    async def _reach(
        self, to: Origin, addresses: list[AddressInfo]
    ) -> tuple[socket.socket, AddressInfo]:
        tried: dict[socket.socket, AddressInfo] = {}

        def make(address: AddressInfo) -> socket.socket:
            made = socket.socket(*address[:3])
            tried[made] = address
            return made

        try:
            sock = await aiohappyeyeballs.start_connection(
                addresses, happy_eyeballs_delay=_NEXT_ADDRESS, interleave=1, socket_factory=make
            )
        except OSError:
            self._names.forget(to.host, to.port)
            raise
        return sock, tried[sock]

    async def _through(
        self, proxy: Origin, to: Origin, make: Callable[[], Connection]
    ) -> Connection:
        loop = asyncio.get_running_loop()
        tunnel = await self._connect(proxy, lambda: Tunnel(loop))
        below = tunnel.transport
        assert below is not None  # noqa: S101 - it is connected
        try:
            await tunnel.open(to.address, proxy.authorization)
        except BaseException:
            below.abort()
            raise
        return await self._secure(below, to, make)

    async def _secure(self, below: asyncio.Transport, to: Origin, make: Callable[[], P]) -> P:
        """Put TLS, and what `make` makes, on a connection; where that fails it is closed."""
        if below.is_closing():
            raise ConnectionResetError
        protocol = make()
        try:
            transport = await asyncio.get_running_loop().start_tls(
                below, protocol, self._trusted(), server_hostname=to.host.rstrip(".")
            )
            if transport is None:
                raise ConnectionAbortedError
        except BaseException:
            below.abort()
            raise
        protocol.connection_made(transport)
        return protocol

    def _trusted(self) -> ssl.SSLContext:
        return self._tls or _system_roots()


@lru_cache(maxsize=1)
def _system_roots() -> ssl.SSLContext:
    """Read the system's roots, which takes some 20 ms and a megabyte, once for all providers."""
    context = ssl.create_default_context()
    context.set_alpn_protocols(["http/1.1"])
    return context
