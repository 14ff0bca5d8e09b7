"""Ports that several processes listen on: one of them has each first, so that nobody else can.

The parent binds and never listens. Workers may bind too, because both say SO_REUSEPORT and are of
one user; the kernel shares new connections out among those that listen.
"""

from __future__ import annotations

import os
import socket
from collections.abc import Iterable

from gateway.address import TcpAddress, parse_address

_Found = tuple[socket.AddressFamily, socket.SocketKind, int, str, tuple[str, int]]


class Ports:
    """The ports that this process holds for its workers, until it is closed."""

    def __init__(self) -> None:
        self._sockets: list[socket.socket] = []

    def hold(self, text: str) -> str:
        """Return the real address of HOST:PORT, which is held from now on.

        Raises ValueError for what is no such address, OSError when it cannot be had.
        """
        address = parse_address(text)
        if not isinstance(address, TcpAddress):
            raise ValueError(f"{text}: a Unix socket is one process's: workers need HOST:PORT")
        try:
            port = address.port
            for found in _resolve(address):
                port = self._bind(found, port)
        except OSError as error:
            number = error.errno or 0
            reason = error.strerror if isinstance(error, socket.gaierror) else os.strerror(number)
            raise OSError(number, reason, text) from None
        return str(TcpAddress(address.host, port))

    def close(self) -> None:
        """Let go of them all."""
        for held in self._sockets:
            held.close()

    def _bind(self, found: _Found, port: int) -> int:
        family, kind, protocol, _, (host, *_) = found
        held = socket.socket(family, kind, protocol)
        self._sockets.append(held)
        if family is socket.AF_INET6:
            held.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
        # What has ended lately does not count; what listens does, also if it would share.
        held.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        held.bind((host, port))
        held.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
        return int(held.getsockname()[1])


def _resolve(address: TcpAddress) -> Iterable[_Found]:
    return socket.getaddrinfo(  # type: ignore[return-value]
        address.host, address.port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
    )
