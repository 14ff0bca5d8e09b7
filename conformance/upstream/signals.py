"""Events that cross threads: any thread may set one, any loop may await it."""

from __future__ import annotations

import asyncio
import contextlib
import threading
import time


class Signal:
    """An event that is set once and remembers when, in seconds of the monotonic clock.

    That clock is the one an asyncio loop calls its time, so the moment can be compared with
    `loop.time()` in whichever thread.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._at: float | None = None
        self._waiters: list[tuple[asyncio.AbstractEventLoop, asyncio.Future[None]]] = []

    @property
    def at(self) -> float | None:
        """When it was set; None before."""
        return self._at

    def set(self) -> None:
        """Wake all who wait. Later calls change nothing."""
        with self._lock:
            if self._at is not None:
                return
            self._at = time.monotonic()
            waiters, self._waiters = self._waiters, []
        for loop, future in waiters:
            # A loop that has ended meanwhile has nobody left to wake.
            with contextlib.suppress(RuntimeError):
                loop.call_soon_threadsafe(_wake, future)

    async def wait(self, timeout: float = 10.0) -> float:
        """Return when it was set. Raises TimeoutError after `timeout` seconds."""
        loop = asyncio.get_running_loop()
        with self._lock:
            if self._at is not None:
                return self._at
            future: asyncio.Future[None] = loop.create_future()
            self._waiters.append((loop, future))
        async with asyncio.timeout(timeout):
            await future
        assert self._at is not None
        return self._at


def _wake(future: asyncio.Future[None]) -> None:
    if not future.done():
        future.set_result(None)
