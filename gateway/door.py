"""An open door: binds an address, serves an application, closes without losing a stream."""

from __future__ import annotations

import asyncio
import errno
import logging
import os
import socket
from collections.abc import Callable, MutableMapping
from functools import partial
from pathlib import Path
from typing import Any, cast

from aiohttp import web
from aiohttp.http_exceptions import HttpProcessingError

from gateway.address import Address, TcpAddress, UnixAddress, parse_address
from gateway.app import App
from gateway.drain import Drain
from gateway.exchange import Exchange
from gateway.http_protocol import HttpProtocol
from gateway.tls import Certificate, TlsFiles
from wire.turn import Turn

_BACKLOG = 1024
# How many connections are accepted in one turn of the loop. libuv takes one for each handle that
# listens: with a single one, who connects to a busy process waits a turn for each one before it.
_ACCEPTED = 16
# How long a connection may be idle before a request, or take to send its headers, in seconds.
_IDLE = 75.0
_MOST_HEADERS = 256
# After the drain only small requests can be left; aiohttp waits for them up to twice this.
_LAST_WAIT = 1.0


class Door:
    """A listening server; made by `start_http`. `address` is the real one."""

    def __init__(
        self,
        runner: web.ServerRunner,
        drain: Drain,
        servers: list[asyncio.Server],
        address: Address,
        scheme: str,
    ) -> None:
        self._runner = runner
        self._drain = drain
        self._servers = servers
        self._scheme = scheme
        self._stopped = False
        self.address = address

    @property
    def url(self) -> str:
        """Where clients find the door: `http(s)://HOST:PORT`, or the socket's address."""
        if isinstance(self.address, UnixAddress):
            return str(self.address)
        return f"{self._scheme}://{self.address}"

    async def stop(self, grace: float, notice: float = 0.0) -> None:
        """Refuse new chats, let open ones end within `grace` seconds, then close.

        The door is not ready from now on, and refuses after `notice` seconds. A second call has no
        effect once the first is through.
        """
        if self._stopped:
            return
        await self._drain.close(grace, notice)
        await _close(self._runner, self._servers)
        self._stopped = True
        if isinstance(self.address, UnixAddress):
            _remove(self.address.path)


async def start_http(
    app: App,
    address: str,
    tls: TlsFiles | None = None,
    *,
    reuse_port: bool = False,
    together: bool = False,
) -> Door:
    """Serve the application of `build_app` at HOST:PORT or unix:PATH.

    `reuse_port` lets other processes of the same user listen there, too. With `together` all that
    is answered in one turn of the loop leaves at its end: for a process that does everything, and
    has long turns. Raises ValueError for no address or no certificate, and OSError when it cannot
    be had.
    """
    context = Certificate(tls).context if tls is not None else None
    wanted = parse_address(address)
    loop = asyncio.get_running_loop()
    server = web.Server(
        cast(Any, app.front.handle),  # which answers what aiohttp can send, and is given Exchanges
        request_factory=partial(Exchange, loop=loop),
        handler_cancellation=True,  # or a client that left keeps its provider busy
    )
    runner = web.ServerRunner(server, shutdown_timeout=_LAST_WAIT)
    await runner.setup()
    servers: list[asyncio.Server] = []
    try:
        make: Callable[[], asyncio.Protocol] = partial(
            HttpProtocol, server, loop=loop, **_CONNECTIONS
        )
        if together:
            make = Turn(loop).protocol(make)
        for listener in await _listeners(wanted, reuse_port=reuse_port):
            servers.append(
                await loop.create_server(make, sock=listener, ssl=context, backlog=_BACKLOG)
            )
    except OSError as error:
        await _close(runner, servers)
        number = error.errno or errno.EADDRNOTAVAIL
        raise OSError(number, os.strerror(number), address) from None
    except BaseException:
        await _close(runner, servers)
        raise
    if isinstance(wanted, TcpAddress):
        wanted = TcpAddress(*servers[0].sockets[0].getsockname()[:2])
    return Door(runner, app.drain, servers, wanted, "http" if context is None else "https")


async def _close(runner: web.ServerRunner, servers: list[asyncio.Server]) -> None:
    """Let nobody in any more, then have the runner see to those who are."""
    for server in servers:
        server.close()
    await runner.cleanup()


async def _listeners(address: Address, *, reuse_port: bool) -> list[socket.socket]:
    """Return what is bound to an address (a name may be several), each `_ACCEPTED` times."""
    if isinstance(address, UnixAddress):
        _remove_stale(address.path)
        with socket.socket(socket.AF_UNIX) as one:
            one.bind(address.path)
            return _copies([one.fileno()])
    bound = await asyncio.get_running_loop().create_server(
        asyncio.Protocol, *address, reuse_port=reuse_port or None, start_serving=False
    )
    try:
        return _copies([one.fileno() for one in bound.sockets])
    finally:
        bound.close()


def _copies(descriptors: list[int]) -> list[socket.socket]:
    return [socket.socket(fileno=os.dup(one)) for one in descriptors for _ in range(_ACCEPTED)]


def _remove_stale(path: str) -> None:
    """Remove a socket that nobody listens on. Raises OSError when somebody does."""
    if not Path(path).is_socket():
        return
    with socket.socket(socket.AF_UNIX) as probe:
        try:
            probe.connect(path)
        except ConnectionRefusedError:
            _remove(path)
            return
    raise OSError(errno.EADDRINUSE, os.strerror(errno.EADDRINUSE), path)


def _remove(path: str) -> None:
    Path(path).unlink(missing_ok=True)


class _WireLog(logging.LoggerAdapter[logging.Logger]):
    """aiohttp's log: bytes that are no HTTP are the client's affair, and may hold its key."""

    def process(self, msg: Any, kwargs: MutableMapping[str, Any]) -> tuple[Any, Any]:
        return msg, kwargs

    def exception(self, msg: object, *args: object, **kwargs: Any) -> None:
        error = kwargs.get("exc_info")
        if isinstance(error, HttpProcessingError | web.RequestPayloadError):
            self.logger.debug("not HTTP: %s", type(error).__name__)
        else:
            super().exception(msg, *args, **kwargs)


_CONNECTIONS: dict[str, Any] = {
    "access_log": None,  # one line per request is written by the front
    "keepalive_timeout": _IDLE,
    "max_headers": _MOST_HEADERS,
    "logger": _WireLog(logging.getLogger("llmbase.gateway"), {}),
}
