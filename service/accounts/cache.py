"""What is known of keys and accounts: bounded, read once for all who ask, and fresh.

Found and not found are kept apart: whoever tries keys at random must not push out those of others,
nor make them wait.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Generic, TypeVar

from service.accounts.freshness import Freshness
from service.errors import ServiceUnavailable
from service.store.database import StoreDown

T = TypeVar("T")
Source = Callable[[str], Awaitable[tuple[int, T | None]]]

PATIENCE = 1.0  # seconds that one reading may take
_TRIES = 2  # a reading that somebody else began may have been overtaken by a change
_STRANGERS = 4  # readings at a time for what is not known yet
_NEVER = -2  # the revision of what is to be read again: none, and not that of a store never seen


@dataclass(frozen=True, slots=True)
class _Entry(Generic[T]):
    revision: int
    value: T | None


class Cache(Generic[T]):
    """`source` reads one thing by its name: the revision, and what is there. `most`: entries."""

    def __init__(
        self, source: Source[T], freshness: Freshness, clock: Callable[[], float], most: int
    ) -> None:
        self._source = source
        self._freshness = freshness
        self._clock = clock
        self._most = most
        self._found: dict[str, _Entry[T]] = {}
        self._missing: dict[str, _Entry[T]] = {}
        self._readings: dict[str, asyncio.Task[_Entry[T] | None]] = {}
        self._strangers = asyncio.Semaphore(_STRANGERS)

    async def get(self, name: str) -> T | None:
        """Return what is there under a name, or None.

        While the store is away, what was there once goes on; raises ServiceUnavailable otherwise.
        """
        entry = self._found.get(name) or self._missing.get(name)
        if entry is not None and self._freshness.holds(entry.revision):
            return entry.value
        read = await self._read_again(name)
        if read is not None:
            return read.value
        if entry is not None and entry.value is not None:
            return entry.value
        raise ServiceUnavailable(
            "The store of API keys does not answer. Retry the request.", retry_after=1.0
        )

    def forget(self) -> None:
        """Have everything read again; what was there goes on for as long as the store is away."""
        self._found = {name: _Entry(_NEVER, it.value) for name, it in self._found.items()}
        self._missing.clear()

    async def _read_again(self, name: str) -> _Entry[T] | None:
        entry: _Entry[T] | None = None
        for _ in range(_TRIES):
            if self._freshness.is_away:
                break
            entry = await self._joined(name)
            if entry is None or self._freshness.holds(entry.revision):
                break
        return entry

    async def _joined(self, name: str) -> _Entry[T] | None:
        """Wait for the reading that is going on, or begin one. It does not end with who waits."""
        task = self._readings.get(name)
        if task is None:
            task = asyncio.get_running_loop().create_task(self._read(name))
            self._readings[name] = task
            task.add_done_callback(lambda done: self._ended(name, done))
        # A driver may take its time to let go of a connection that does not answer.
        await asyncio.wait({task}, timeout=2 * PATIENCE)
        return task.result() if task.done() else None

    async def _read(self, name: str) -> _Entry[T] | None:
        if name in self._found:
            return await self._read_now(name)
        async with self._strangers:
            return await self._read_now(name)

    async def _read_now(self, name: str) -> _Entry[T] | None:
        began = self._clock()
        try:
            async with asyncio.timeout(PATIENCE):
                revision, value = await self._source(name)
        except (StoreDown, TimeoutError):
            self._freshness.lost()
            return None
        self._freshness.saw(revision, began)
        entry = _Entry(revision, value)
        self._keep(name, entry)
        return entry

    def _keep(self, name: str, entry: _Entry[T]) -> None:
        self._found.pop(name, None)
        self._missing.pop(name, None)
        entries = self._missing if entry.value is None else self._found
        while len(entries) >= self._most:
            del entries[next(iter(entries))]  # the one that was read longest ago
        entries[name] = entry

    def _ended(self, name: str, task: asyncio.Task[_Entry[T] | None]) -> None:
        del self._readings[name]
        if not task.cancelled():
            task.exception()  # everybody who waited may have gone
