"""The gateway as a process of its own: one channel, one door, until a signal comes."""

from __future__ import annotations

import asyncio
import signal
from importlib.metadata import version

from gateway.app import Settings, build_app
from gateway.connection import open_channel
from gateway.door import start_http
from telemetry.tracing import Tracer, TracingSettings, open_tracer


async def serve(service: str, http: str, settings: Settings, traces: TracingSettings) -> None:
    """Serve `http` from the service at `service` until SIGINT or SIGTERM, then drain.

    Raises ValueError for what is no address, OSError for one that cannot be had, and
    TracingUnavailable.
    """
    tracer = open_tracer(traces, version("llmbase"))
    try:
        await _serve(service, http, settings, tracer)
    finally:
        await tracer.close()


async def _serve(service: str, http: str, settings: Settings, tracer: Tracer) -> None:
    stop = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, stop.set)
    async with open_channel(service, settings.max_body) as channel:
        door = await start_http(build_app(channel, settings, tracer=tracer), http)
        print(f"ready {door.url}", flush=True)  # noqa: T201 - the promise to a supervisor
        await stop.wait()
        await door.stop(settings.drain)
