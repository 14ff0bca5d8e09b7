"""Calls that are over are settled off their path: in batches, by one task, on disk if need be."""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections import deque
from collections.abc import Callable, Sequence

from service.accounts import spool_lines
from service.accounts.books import Books
from service.accounts.records import Reservation, Settlement
from service.accounts.spool import Spool, SpoolFile
from service.accounts.spool_lines import Entry
from service.store.database import Database, StoreDown
from telemetry.metrics import LEDGER_QUEUE, SETTLEMENTS_SPOOLED, Metrics

_LOG = logging.getLogger("llmbase.accounts")

_CAPACITY = 10_000  # entries in memory
_BATCH = 500  # entries of one transaction
_LINGER = 0.02  # seconds that an entry waits for others
_PAUSE = 2.0  # seconds until the store is asked again after it was away
_LOOK = 30.0  # seconds until the spool is looked at for what other processes have left


class Ledger:
    """`clock` gives monotonic seconds. `held` has the calls that this process holds money for, from
    when it is reserved until it is settled; what it has in the spool included.

    `start` must be called, and `close` at the end. Without it, all goes to the spool.
    """

    def __init__(
        self,
        database: Database,
        spool: Spool,
        clock: Callable[[], float],
        metrics: Metrics,
        *,
        capacity: int = _CAPACITY,
        linger: float = _LINGER,
    ) -> None:
        self.held: set[str] = set()
        self._spool = spool
        self._books = Books(database, spool, self.held, metrics)
        self._clock = clock
        self._metrics = metrics
        self._capacity = capacity
        self._linger = linger
        self._queue: deque[Entry] = deque()
        self._writing: Sequence[Entry] = ()
        self._wake = asyncio.Event()
        self._hurry = asyncio.Event()
        self._flushing: deque[tuple[int, asyncio.Future[None]]] = deque()
        self._came = self._went = 0  # entries that were queued, and that are out of the queue
        self._spooled = self._unsynced = False
        self._away_until = self._look_at = clock()
        self._task: asyncio.Task[None] | None = None
        self._closing = False
        metrics.follow(LEDGER_QUEUE, lambda: {(): self._came - self._went})

    @property
    def is_behind(self) -> bool:
        """Whether something that is over has not been written."""
        return self._came > self._went

    def settle(self, settlement: Settlement) -> None:
        """A call has cost something. Never waits, never raises; twice is once."""
        self._add(settlement)

    def release(self, reservation: Reservation) -> None:
        """A call has cost nothing: what it holds comes free. Never waits, never raises."""
        self._add(reservation)

    async def start(self) -> None:
        """Begin to write, with what earlier processes have left in the spool."""
        self._task = asyncio.create_task(self._work())

    async def flush(self) -> None:
        """Wait until what was added before is in the store, or in the spool."""
        if not self.is_behind or self._task is None or self._task.done():
            return
        done = asyncio.get_running_loop().create_future()
        self._flushing.append((self._came, done))
        self._hurry.set()
        await done

    async def close(self) -> None:
        """Write everything, to the spool if the store does not take it."""
        self._closing = True
        self._wake.set()
        self._hurry.set()
        if self._task is not None:
            await self._task

    def _add(self, entry: Entry) -> None:
        if self._task is None or self._task.done() or len(self._queue) >= self._capacity:
            self._to_spool([entry])
        else:
            self._enqueue(entry)

    def _enqueue(self, entry: Entry) -> None:
        self._queue.append(entry)
        self._came += 1
        self._wake.set()

    def _to_spool(self, entries: Sequence[Entry]) -> None:
        """Put entries on disk; where that cannot be, keep them: memory for money there is."""
        try:
            self._spool.append(map(spool_lines.encode, entries))
        except OSError as error:
            _LOG.error("spool cannot be written", extra={"detail": type(error).__name__})
            for entry in entries:
                self._enqueue(entry)
        else:
            self._spooled = self._unsynced = True
            self._metrics.count(SETTLEMENTS_SPOOLED, len(entries))

    async def _work(self) -> None:
        try:
            while not self._closing:
                await self._replay()
                await self._rest()
                await self._drain()
            await self._drain()
        finally:
            left = [*self._writing, *self._queue]
            self._queue.clear()
            if left:
                self._to_spool(left)
            self._spool.rotate()
            self._went = self._came
            self._tell_flushed()

    async def _rest(self) -> None:
        """Wait for an entry, and a little longer for others to go with it."""
        patience = _PAUSE if self._spooled else _LOOK
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(patience):
                await self._wake.wait()
            async with asyncio.timeout(self._linger):
                await self._hurry.wait()
        self._wake.clear()
        self._hurry.clear()

    async def _drain(self) -> None:
        """Write what is in the queue now, to the store or to the spool."""
        target = self._came
        while self._queue and self._went < target:
            some = min(_BATCH, len(self._queue))
            self._writing = [self._queue.popleft() for _ in range(some)]
            if not await self._stored(self._writing):
                self._to_spool(self._writing)
                await self._sync()
            self._writing = ()
            self._went += some
            self._tell_flushed()
        await self._sync()

    async def _stored(self, entries: Sequence[Entry]) -> bool:
        """Whether the store has taken entries. One that was away is left alone for a while."""
        if self._is_away():
            return False
        try:
            await self._books.write(entries)
        except StoreDown as error:
            _LOG.warning("store is away", extra={"detail": str(error)})
        except Exception as error:  # whatever it is, what is over must not be lost for it
            _LOG.error("cannot settle", extra={"detail": type(error).__name__})
        else:
            return True
        self._away_until = self._clock() + _PAUSE
        return False

    def _is_away(self) -> bool:
        return self._clock() < self._away_until

    async def _sync(self) -> None:
        if self._unsynced:
            self._unsynced = False
            try:
                await asyncio.to_thread(self._spool.sync)
            except OSError as error:
                _LOG.error("spool cannot be written", extra={"detail": type(error).__name__})

    async def _replay(self) -> None:
        """Write what is in the spool: what this process has put there, and what dead ones have."""
        now = self._clock()
        if self._is_away() or not (self._spooled or now >= self._look_at):
            return
        self._look_at = now + _LOOK
        try:
            self._spool.rotate()
            self._spooled = False
            for file in self._spool.claim():
                if not await self._replayed(file):
                    self._spooled = True
                    return
                file.remove()
        except OSError as error:
            # What is on a disk that fails is tried again later; what is not on it has to go on.
            _LOG.error("spool cannot be replayed", extra={"detail": type(error).__name__})

    async def _replayed(self, file: SpoolFile) -> bool:
        for lines in file.lines(_BATCH):
            if not await self._stored(self._decoded(lines)):
                return False
            await self._drain()  # new ones do not wait until old ones are through
        return True

    def _decoded(self, lines: Sequence[bytes]) -> list[Entry]:
        entries: list[Entry] = []
        for line in lines:
            try:
                entries.append(spool_lines.decode(line))
            except ValueError:
                _LOG.error("spool has a line that cannot be read")
                self._books.put_aside(line)
        return entries

    def _tell_flushed(self) -> None:
        while self._flushing and self._flushing[0][0] <= self._went:
            done = self._flushing.popleft()[1]
            if not done.done():
                done.set_result(None)
