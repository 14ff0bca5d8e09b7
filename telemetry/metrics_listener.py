"""Where metrics are read: GET /metrics on a port of its own, so that no caller can reach it."""

from __future__ import annotations

import errno
import inspect
import os
from collections.abc import Awaitable
from typing import Protocol

from aiohttp import web
from prometheus_client.exposition import CONTENT_TYPE_PLAIN_0_0_4

_UNIX = "unix:"
_LAST_WAIT = 1.0  # seconds for a page that is on its way when the process ends


class Rendered(Protocol):
    """What has a page: the metrics of a process, or of several."""

    def render(self) -> bytes | Awaitable[bytes]: ...  # noqa: D102


class MetricsListener:
    """A listening server; made by `listen`. `address` is the real HOST:PORT, or `unix:PATH`."""

    def __init__(self, runner: web.AppRunner, address: str) -> None:
        self._runner = runner
        self.address = address

    async def close(self) -> None:
        """Stop listening."""
        await self._runner.cleanup()


async def listen(metrics: Rendered, address: str) -> MetricsListener:
    """Serve the metrics at HOST:PORT, where port 0 takes a free one, or at unix:PATH.

    Raises OSError, with the address as its file name, when it cannot be had.
    """
    app = web.Application()
    app.router.add_get("/metrics", _Page(metrics).get)
    runner = web.AppRunner(app, access_log=None, shutdown_timeout=_LAST_WAIT)
    await runner.setup()
    try:
        await _site(runner, address).start()
    except (OSError, OverflowError) as error:
        await runner.cleanup()
        number = getattr(error, "errno", None) or errno.EADDRNOTAVAIL
        raise OSError(number, os.strerror(number), address) from None
    except BaseException:
        await runner.cleanup()
        raise
    if address.startswith(_UNIX):
        return MetricsListener(runner, address)
    return MetricsListener(runner, f"{address.rpartition(':')[0]}:{runner.addresses[0][1]}")


def _site(runner: web.AppRunner, address: str) -> web.BaseSite:
    if address.startswith(_UNIX):
        return web.UnixSite(runner, address.removeprefix(_UNIX))
    host, _, port = address.rpartition(":")
    return web.TCPSite(runner, host.strip("[]"), int(port))


class _Page:
    def __init__(self, metrics: Rendered) -> None:
        self._metrics = metrics

    async def get(self, request: web.Request) -> web.Response:
        page = self._metrics.render()
        body = await page if inspect.isawaitable(page) else page
        return web.Response(body=body, headers={"Content-Type": CONTENT_TYPE_PLAIN_0_0_4})
