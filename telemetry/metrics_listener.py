"""Where metrics are read: GET /metrics at an address of its own, so that no caller can reach it."""

from __future__ import annotations

import contextlib
import errno
import inspect
import os
from collections.abc import AsyncIterator, Awaitable
from pathlib import Path
from typing import Protocol

from aiohttp import web
from prometheus_client.exposition import CONTENT_TYPE_PLAIN_0_0_4

_LAST_WAIT = 1.0  # seconds for a page that is on its way when the process ends
_UNIX = "unix:"


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

    A socket that is already there is replaced: its owner is gone. Raises OSError, with the address
    as its file name, when it cannot be had, and ValueError for what is no address.
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


@contextlib.asynccontextmanager
async def listening(metrics: Rendered, address: str | None) -> AsyncIterator[str | None]:
    """Serve the metrics inside the block; gives the real address. None: nowhere.

    Raises as `listen` does.
    """
    if address is None:
        yield None
        return
    listener = await listen(metrics, address)
    try:
        yield listener.address
    finally:
        await listener.close()


def _site(runner: web.AppRunner, address: str) -> web.BaseSite:
    if address.startswith(_UNIX):
        path = Path(address.removeprefix(_UNIX))
        if path.is_socket():
            path.unlink()
        return web.UnixSite(runner, path)
    host, _, port = address.rpartition(":")
    if not (host and port.isdecimal()):
        raise ValueError(f"{address!r} is no address for metrics: HOST:PORT or unix:PATH")
    return web.TCPSite(runner, host.strip("[]"), int(port))


class _Page:
    def __init__(self, metrics: Rendered) -> None:
        self._metrics = metrics

    async def get(self, request: web.Request) -> web.Response:
        page = self._metrics.render()
        body = await page if inspect.isawaitable(page) else page
        return web.Response(body=body, headers={"Content-Type": CONTENT_TYPE_PLAIN_0_0_4})
