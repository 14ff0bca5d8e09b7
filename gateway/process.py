"""The gateway as a process of its own: one channel, one door, until a signal comes."""

from __future__ import annotations

import asyncio
import signal

from gateway.app import Settings, build_app
from gateway.connection import ServiceTls, open_channel
from gateway.door import start_http


async def serve(
    service: str, http: str, settings: Settings, tls: ServiceTls, *, reuse_port: bool = False
) -> None:
    """Serve `http` from the service at `service` until SIGINT or SIGTERM, then drain.

    Raises ValueError for what is no address, OSError for one that cannot be had, or a file.
    """
    stop = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, stop.set)
    async with open_channel(service, settings.max_body, tls) as channel:
        door = await start_http(
            build_app(channel, settings), http, settings.tls, reuse_port=reuse_port
        )
        print(f"ready {door.url}", flush=True)  # noqa: T201 - the promise to a supervisor
        await stop.wait()
        await door.stop(settings.drain)
