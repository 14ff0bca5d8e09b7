"""What ends is fetched again before it does, while requests go on with what there is."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable
from typing import Generic, TypeVar

from service.errors import FaultKind, ProviderFault

_LOG = logging.getLogger("llmbase.credentials")
_AHEAD = 300.0  # seconds before its end at which a value is fetched again
_LOOK = 30.0  # seconds between two looks at how long a value still lasts
_LONGEST = 60.0  # seconds after which a fetch is given up
_PAUSE = 1.0  # seconds after a failure for which it is not tried again

T = TypeVar("T")


class Renewed(Generic[T]):
    """A token or keys, fetched by the first who needs them and from then on in the background.

    `ends_within(value, seconds)` says whether a value will have ended so many seconds from now.
    `provider` is a name for the log.
    """

    def __init__(
        self,
        provider: str,
        fetch: Callable[[], Awaitable[T]],
        ends_within: Callable[[T, float], bool],
    ) -> None:
        self._provider = provider
        self._fetch = fetch
        self._ends_within = ends_within
        self._value: T | None = None
        self._failure = "not fetched"
        self._next_try = 0.0
        self._fetching: asyncio.Task[None] | None = None
        self._watching: asyncio.Task[None] | None = None

    async def get(self) -> T:
        """Return a value that holds; waits only where there is none. Raises ProviderFault."""
        if not self._lasts(0) and asyncio.get_running_loop().time() >= self._next_try:
            # Many may wait for the one fetch, and who leaves does not end it for the others.
            await asyncio.wait([self._start()])
        value = self._value
        if value is None or not self._lasts(0):
            raise ProviderFault(FaultKind.CONNECT, f"no credentials: {self._failure}")
        return value

    async def close(self) -> None:
        """End what runs in the background. A thread that a fetch has started goes on by itself."""
        running = [task for task in (self._watching, self._fetching) if task is not None]
        for task in running:
            task.cancel()
        if running:
            await asyncio.wait(running)

    def _lasts(self, seconds: float) -> bool:
        return self._value is not None and not self._ends_within(self._value, seconds)

    def _start(self) -> asyncio.Task[None]:
        if self._fetching is None or self._fetching.done():
            self._fetching = asyncio.get_running_loop().create_task(self._refresh())
        return self._fetching

    async def _refresh(self) -> None:
        loop = asyncio.get_running_loop()
        try:
            async with asyncio.timeout(_LONGEST):
                self._value = await self._fetch()
        except Exception as error:
            # The text of a library's error can hold the credentials: its type is enough.
            self._failure = type(error).__name__
            self._next_try = loop.time() + _PAUSE
            return
        self._failure = "" if self._lasts(0) else "they had ended when they came"
        if self._watching is None or self._watching.done():
            self._watching = loop.create_task(self._watch())

    async def _watch(self) -> None:
        """Fetch again ahead of the end, and time and again when that fails, until it has come."""
        while self._lasts(0):
            await asyncio.sleep(_LOOK)
            if not self._lasts(_AHEAD):
                await asyncio.wait([self._start()])
                if self._failure:
                    _LOG.warning(
                        "credentials could not be fetched again",
                        extra={"provider": self._provider, "detail": self._failure},
                    )
