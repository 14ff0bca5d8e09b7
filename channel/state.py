"""One call as its caller's object sees it, wherever its handler runs."""

from __future__ import annotations

import asyncio
import types
from collections.abc import Awaitable, Callable, Generator
from typing import Any, Final

from channel.metadata import Entries
from channel.status import DEADLINE_EXCEEDED, OK, Status

NOTHING: Final = object()


class CallState:
    """What has come of the call so far, and those who wait for more.

    `message` has come and is not yet taken; `on_end` is called, weakly, when the call ends.
    """

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self.loop = loop
        self.message: Any = NOTHING
        self.initial_metadata: Entries | None = None
        self.status: Status | None = None
        self.taken: asyncio.Future[None] | None = None  # for a writer in a task of its own
        self.deadline: float | None = None
        self.on_end: Callable[[], Callable[[], None] | None] | None = None
        self._timer: asyncio.TimerHandle | None = None
        self._watchers: tuple[asyncio.Future[None], ...] = ()

    def progress(self, ahead: bool = False) -> Awaitable[None]:
        """Returns when there may be something new. Cancelling the wait does not touch the call.

        `ahead`: who waits wants to hear of metadata that comes before a message or the end.
        """
        return self.change()

    async def until(self, reached: Callable[[], bool]) -> None:
        """Returns when `reached`. Cancelling the waiting task does not touch the call."""
        while not reached():
            await (self.change() if self.message is not NOTHING else self.progress(ahead=True))

    @types.coroutine
    def change(self) -> Generator[Any, Any, None]:
        """Returns when something has come, others have taken the message, or the call has ended."""
        watcher: asyncio.Future[None] = self.loop.create_future()
        self._watchers = (*self._watchers, watcher)
        yield from watcher

    def take(self) -> Any:
        """The message, which is no longer there: its writer may go on."""
        if self.taken is not None and not self.taken.done():
            self.taken.set_result(None)
        message, self.message = self.message, NOTHING
        if self._watchers:
            self.wake_watchers()
        return message

    def time_remaining(self) -> float | None:
        """Seconds until the deadline, never negative; None without a deadline."""
        return None if self.deadline is None else max(0.0, self.deadline - self.loop.time())

    def terminate(self, status: Status) -> None:
        """Ends the call from the caller's side. No effect after the end."""
        raise NotImplementedError

    def raise_if_failed(self) -> None:
        """Raises CancelledError or grpc.aio.AioRpcError if the call has ended and not well."""
        status = self.status
        if status is not None and status.code is not OK:
            raise status.error(self.initial_metadata or ())

    def wake_watchers(self) -> None:
        """Has all who wait in `change` look again."""
        watchers, self._watchers = self._watchers, ()
        for watcher in watchers:
            if not watcher.done():
                watcher.set_result(None)

    def _set_deadline(self, timeout: float) -> None:
        """Has the call end in `timeout` seconds, at once if there are none."""
        self.deadline = self.loop.time() + timeout
        if timeout > 0:
            self._timer = self.loop.call_at(self.deadline, self.terminate, DEADLINE_EXCEEDED)
        else:
            self.terminate(DEADLINE_EXCEEDED)

    def _settle(self, status: Status) -> None:
        self.status = status
        if self.initial_metadata is None:
            self.initial_metadata = ()
        if self._timer is not None:
            self._timer.cancel()

    def _tell_end(self) -> None:
        if self.on_end is not None and (tell := self.on_end()) is not None:
            tell()
