"""One answer that may be read by several, and again: its chunks, and the task that gets them.

A whole answer is a record of one item. The provider is read no faster than the fastest reader
reads; while nobody reads, it goes on for a while, since the caller may be back.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from typing import Any, Protocol

from llmbase.v1.chat_completion_pb2 import RouteFacts, Usage
from llmbase.v1.routing_pb2 import RouteTrace

from service.errors import Error, InternalError, InvalidRequest, StreamNotResumable
from service.providers.call import Wait


class Item(Protocol):
    """A message, as far as a record cares."""

    def ByteSize(self) -> int: ...  # noqa: D102, N802 - protobuf's name


class Record:
    """`largest` is in bytes; a record that grows larger keeps what its readers still have to read.

    `resume_window` is how many seconds it goes on without a reader. `over` is called once, at the
    end of the task that fills it.
    """

    def __init__(self, largest: int, resume_window: float, over: Callable[[Record], None]) -> None:
        self.route: RouteFacts | None = None
        self.trace = RouteTrace()
        self.usage: Usage | None = None  # known when it has ended
        self.complete = False
        self.size = 0  # bytes of what is kept
        self._largest = largest
        self._resume_window = resume_window
        self._over = over
        self._items: list[Item] = []
        self._dropped = 0  # items before the first that is kept
        self._error: BaseException | None = None
        self._ended = False
        self._readers: set[Reader] = set()
        self._news = asyncio.Event()  # for readers; replaced each time it is set
        self._demand = asyncio.Event()  # for whoever fills it
        self.stopping = False  # nobody can join it any longer
        self._task: asyncio.Task[None] | None = None
        self._window: asyncio.TimerHandle | None = None

    @property
    def failed(self) -> bool:
        """Whether it has ended, and not well."""
        return self._ended and not self.complete

    @property
    def repeatable(self) -> bool:
        """Whether all of it is kept."""
        return self._dropped == 0

    @property
    def count(self) -> int:
        """How many items there have been."""
        return self._dropped + len(self._items)

    def fill(self, work: Callable[[Record], Coroutine[Any, Any, None]]) -> None:
        """Start the task: `work` calls `opened`, `add` and, before each item, `demand`."""
        self._task = asyncio.get_running_loop().create_task(work(self))
        self._task.add_done_callback(self._end)

    def opened(self, route: RouteFacts) -> None:
        """The answer has begun."""
        self.route = route
        self._tell()

    def add(self, item: Item) -> None:
        """Keep the next item, for all readers."""
        self._items.append(item)
        self.size += item.ByteSize()
        if self.size > self._largest:
            self.forget_what_is_read()
        self._tell()

    async def demand(self) -> None:
        """Return when the next item is wanted: a reader has read all there is, or all have left."""
        while self._readers and all(reader.behind for reader in self._readers):
            self._demand.clear()
            await self._demand.wait()

    def read(self, after: int = 0) -> Reader:
        """Return a reader of what comes after so many items. Whoever holds it closes it.

        Raises StreamNotResumable (it is not kept), InvalidRequest (there are not so many).
        """
        if after < self._dropped:
            raise StreamNotResumable("The answer is too large to be kept.")
        if after > self.count:
            raise InvalidRequest(
                "last_chunk_sequence", f"must be at most {self.count}: there is no later chunk yet"
            )
        if self._window is not None:
            self._window.cancel()
            self._window = None
        reader = Reader(self, after)
        self._readers.add(reader)
        self._demand.set()
        return reader

    def forget_what_is_read(self) -> None:
        """Keep only what readers have still to read; it cannot be repeated from now on."""
        next_ = min((reader.next for reader in self._readers), default=self.count)
        read = next_ - self._dropped
        if read:
            self.size -= sum(item.ByteSize() for item in self._items[:read])
            del self._items[:read]
            self._dropped = next_
        if not self._readers:
            self.stop()

    def abandon(self) -> None:
        """Do not wait for a caller to be back."""
        self._resume_window = 0.0
        if not self._readers:
            self.stop()

    def stop(self) -> None:
        """End what is still running; nobody is there to be told."""
        self.stopping = True
        if self._task is not None:
            self._task.cancel()

    async def ended(self) -> None:
        """Return when nothing is running any longer."""
        if self._task is not None:
            await asyncio.wait([self._task])

    def _item(self, number: int) -> Item:
        return self._items[number - self._dropped]

    def _has_read(self) -> None:
        if self._dropped or self.size > self._largest:
            self.forget_what_is_read()
        self._demand.set()

    def _leave(self, reader: Reader) -> None:
        self._readers.discard(reader)
        self._demand.set()
        if self._readers or self._ended:
            return
        if self._resume_window and self.repeatable:
            loop = asyncio.get_running_loop()
            self._window = loop.call_later(self._resume_window, self.stop)
        else:
            self.stop()

    def _end(self, task: asyncio.Task[None]) -> None:
        # A callback, not the task's own `finally`: a task can be cancelled before its first step.
        self._ended = True
        if task.cancelled():
            self._error = InternalError("The answer was given up.")
        elif (error := task.exception()) is not None:
            self._error = error  # it is the readers' to raise
        else:
            self.complete = True
        if self._window is not None:
            self._window.cancel()
        self._tell()
        self._over(self)

    def _tell(self) -> None:
        news, self._news = self._news, asyncio.Event()
        news.set()


class Reader:
    """Reads a record from some item on. Raises what ended the record, after what came before it."""

    def __init__(self, record: Record, after: int) -> None:
        self._record = record
        self.next = after  # the index of the item that is read next

    @property
    def behind(self) -> bool:
        """Whether there are items that it has not read."""
        return self.next < self._record.count

    @property
    def trace(self) -> RouteTrace:
        """How the answer was routed, as far as it has come."""
        return self._record.trace

    async def route(self, wait: Wait) -> RouteFacts:
        """Return how the answer came about, once it has begun. Raises as `read` does."""
        record = self._record
        while record.route is None:
            await self._more(wait)
        return record.route

    async def read(self, wait: Wait) -> Item | None:
        """Return the next item, None at the end. `wait` is the reader's own: its deadline's."""
        record = self._record
        while not self.behind:
            if record.complete:
                return None
            await self._more(wait)
        item = record._item(self.next)
        self.next += 1
        record._has_read()
        return item

    def close(self) -> None:
        """Leave."""
        self._record._leave(self)

    async def _more(self, wait: Wait) -> None:
        error = self._record._error
        if error is not None:
            raise error.again() if isinstance(error, Error) else error
        with wait:
            await self._record._news.wait()
