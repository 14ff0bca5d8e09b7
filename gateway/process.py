"""The gateway as a process of its own: one channel, one door, until a signal comes."""

from __future__ import annotations

import asyncio
import signal
from collections.abc import Callable

import grpc

from gateway.app import Settings, build_app
from gateway.connection import ServiceTls, largest_message, open_channel
from gateway.door import start_http
from telemetry.metrics import OF_THE_DOOR, Metrics
from telemetry.metrics_listener import listening

# A channel over a channel, for messages of so many bytes; it closes the one underneath.
Over = Callable[[grpc.aio.Channel, int], grpc.aio.Channel]


async def serve(
    service: str,
    http: str,
    settings: Settings,
    over: Over | None = None,
    tls: ServiceTls | None = None,
    *,
    reuse_port: bool = False,
) -> None:
    """Serve `http` from the service at `service` until SIGINT or SIGTERM, then drain.

    `over` makes the channel that calls take, in place of the connection itself. Raises ValueError
    for what is no address, OSError for one that cannot be had, or a file.
    """
    metrics = Metrics({}, OF_THE_DOOR)
    stop = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, stop.set)
    connection = open_channel(service, settings.max_body, tls)
    if over is not None:
        connection = over(connection, largest_message(settings.max_body))
    async with connection as channel:
        app = build_app(channel, settings, metrics=metrics)
        door = await start_http(app, http, settings.tls, reuse_port=reuse_port)
        try:
            async with listening(metrics, settings.metrics) as place:
                told = f" metrics {place}" if place is not None else ""
                print(f"ready {door.url}{told}", flush=True)  # noqa: T201 - for a supervisor
                await stop.wait()
                await door.stop(settings.drain, settings.notice)
        finally:
            await door.stop(0)
