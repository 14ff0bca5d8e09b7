"""The metrics of several worker processes, read from the socket of each when somebody asks.

The parent of the workers has one, and gives it to `metrics_listener.listen`. A worker listens at
`unix:PATH`, a socket in a directory of its parent's.
"""

from __future__ import annotations

import asyncio
import logging

import aiohttp

from telemetry.joined_pages import join

_LOG = logging.getLogger("llmbase.metrics")

_PATIENCE = 2.0  # seconds for one worker's page
_NOTHING = b""


class WorkerPages:
    """Knows where workers listen, and what those that have ended had counted."""

    def __init__(self) -> None:
        self._last: dict[str, bytes] = {}  # by the path of its socket: what a worker has said last
        self._ended = _NOTHING  # what all those together have counted that are no more

    def add(self, path: str) -> None:
        """A worker listens at this socket from now on. A path is never used by another later."""
        self._last[path] = _NOTHING

    def end(self, path: str) -> None:
        """A worker has ended; what it had counted when it was read last is kept."""
        self._ended = join((), (self._ended, self._last.pop(path)))

    async def read(self, path: str) -> None:
        """Ask one worker now; to be done before it is told to end, so that nothing is lost.

        One that does not answer in time, because it is busy or gone, stands as it last did.
        """
        connector = aiohttp.UnixConnector(path=path)
        limit = aiohttp.ClientTimeout(total=_PATIENCE)
        try:
            async with (
                aiohttp.ClientSession(connector=connector, timeout=limit) as session,
                session.get("http://worker/metrics", raise_for_status=True) as answer,
            ):
                page = await answer.read()
        except (aiohttp.ClientError, TimeoutError, OSError) as error:
            _LOG.warning("worker's metrics not read", extra={"detail": type(error).__name__})
            return
        if path in self._last:
            self._last[path] = page

    async def render(self) -> bytes:
        """Return one page of all."""
        await asyncio.gather(*map(self.read, list(self._last)))
        return join(self._last.values(), (self._ended,))
