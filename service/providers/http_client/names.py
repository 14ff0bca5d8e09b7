"""Where names lead to: looked up in the system's way, kept for a while, once for all who ask."""

from __future__ import annotations

import asyncio
import contextlib
import socket
from typing import cast

from service.providers.http_client.errors import ClientClosed

AddressInfo = tuple[
    int | socket.AddressFamily,
    int | socket.SocketKind,
    int,
    str,
    tuple[str, int] | tuple[str, int, int, int],
]
_Key = tuple[str, int]


class Names:
    """A cache of addresses. `seconds` is how long they are kept."""

    def __init__(self, seconds: float = 60.0) -> None:
        self._seconds = seconds
        self._kept: dict[_Key, tuple[float, list[AddressInfo]]] = {}
        self._asking: dict[_Key, asyncio.Task[list[AddressInfo]]] = {}

    async def look_up(self, host: str, port: int) -> list[AddressInfo]:
        """Return a name's addresses, each time with another one first.

        Raises OSError, ClientClosed.
        """
        with contextlib.suppress(socket.gaierror):  # an address needs no looking up
            return cast(
                list[AddressInfo],
                socket.getaddrinfo(
                    host, port, type=socket.SOCK_STREAM, flags=socket.AI_NUMERICHOST
                ),
            )
        loop = asyncio.get_running_loop()
        until, addresses = self._kept.get((host, port), (0.0, []))
        if until <= loop.time():
            asking = self._asking.get((host, port))
            if asking is None:
                asking = self._asking[host, port] = loop.create_task(self._ask(host, port))
            try:
                # Who is cancelled leaves the look-up to the others who wait for it.
                addresses = await asyncio.shield(asking)
            except asyncio.CancelledError:
                task = asyncio.current_task()
                if not asking.cancelled() or (task is not None and task.cancelling()):
                    raise
                raise ClientClosed("closed meanwhile") from None
        addresses.append(addresses.pop(0))
        return addresses.copy()

    def forget(self, host: str, port: int) -> None:
        """Look the name up anew the next time: nobody is where it led to."""
        self._kept.pop((host, port), None)

    async def close(self) -> None:
        """Leave what is being looked up."""
        for asking in list(self._asking.values()):
            asking.cancel()
            await asyncio.wait([asking])

    async def _ask(self, host: str, port: int) -> list[AddressInfo]:
        loop = asyncio.get_running_loop()
        try:
            found = await loop.getaddrinfo(
                host, port, type=socket.SOCK_STREAM, flags=socket.AI_ADDRCONFIG
            )
            addresses = cast(list[AddressInfo], found)
            if not addresses:
                raise OSError("no address")
        finally:
            del self._asking[host, port]
        self._kept[host, port] = loop.time() + self._seconds, addresses
        return addresses
