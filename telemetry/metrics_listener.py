"""Where metrics are read: GET /metrics on a port of its own, so that no caller can reach it."""

from __future__ import annotations

import errno
import os

from aiohttp import web
from prometheus_client.exposition import CONTENT_TYPE_PLAIN_0_0_4

from telemetry.metrics import Metrics

_LAST_WAIT = 1.0  # seconds for a page that is on its way when the process ends


class MetricsListener:
    """A listening server; made by `listen`. `address` is the real HOST:PORT."""

    def __init__(self, runner: web.AppRunner, address: str) -> None:
        self._runner = runner
        self.address = address

    async def close(self) -> None:
        """Stop listening."""
        await self._runner.cleanup()


async def listen(metrics: Metrics, address: str) -> MetricsListener:
    """Serve the metrics at HOST:PORT; port 0 takes a free one.

    Raises OSError, with the address as its file name, when it cannot be had.
    """
    app = web.Application()
    app.router.add_get("/metrics", _Page(metrics).get)
    runner = web.AppRunner(app, access_log=None, shutdown_timeout=_LAST_WAIT)
    await runner.setup()
    host, _, port = address.rpartition(":")
    try:
        await web.TCPSite(runner, host.strip("[]"), int(port)).start()
    except (OSError, OverflowError) as error:
        await runner.cleanup()
        number = getattr(error, "errno", None) or errno.EADDRNOTAVAIL
        raise OSError(number, os.strerror(number), address) from None
    except BaseException:
        await runner.cleanup()
        raise
    return MetricsListener(runner, f"{host}:{runner.addresses[0][1]}")


class _Page:
    def __init__(self, metrics: Metrics) -> None:
        self._metrics = metrics

    async def get(self, request: web.Request) -> web.Response:
        return web.Response(
            body=self._metrics.render(), headers={"Content-Type": CONTENT_TYPE_PLAIN_0_0_4}
        )
