"""What a task waits for while it steps a coroutine that waits for a future."""

from __future__ import annotations

import asyncio
import contextvars
import types
from collections.abc import Callable, Generator
from typing import Any


class Waiting:
    """The future that a stepped coroutine awaits, as the reader's task awaits it in its place.

    It adds two things to that future: the reader can be let go before it is done (`release`), and
    cancelling the reader's task leaves it alone and is remembered (`abandoned`), so that the two
    cancellations cannot be taken for each other. The reader's task is woken by the future itself.
    """

    abandoned = False
    _asyncio_future_blocking = True  # asyncio's mark of what a task may wait for
    _wake: Callable[[Any], object] | None = None
    _context: contextvars.Context | None = None

    def __init__(self, awaited: asyncio.Future[Any]) -> None:
        self.released = False
        self._awaited = awaited
        self.get_loop = awaited.get_loop

    def release(self) -> None:
        """Wakes the waiting task on the loop's next turn, unless it is about to wake anyway."""
        if self.released or self._awaited.done():
            return
        self.released = True
        if self._wake is not None:
            self._awaited.remove_done_callback(self._wake)
            self.get_loop().call_soon(self._wake, self, context=self._context)

    # What a task, asyncio's own or a stepped one, calls on what it waits for.

    def add_done_callback(
        self, wake: Callable[[Any], object], *, context: contextvars.Context | None = None
    ) -> None:
        """Takes the one callback that the waiting task has."""
        self._wake = wake
        self._context = context
        if self.released:
            self.get_loop().call_soon(wake, self, context=context)
        else:
            self._awaited.add_done_callback(wake, context=context)

    def remove_done_callback(self, wake: Callable[[Any], object]) -> int:
        """Takes it back; returns 0 if it is already on its way."""
        self._wake = None
        return 0 if self.released else self._awaited.remove_done_callback(wake)

    def cancel(self, msg: Any = None) -> bool:
        """Hears that the waiting task is being cancelled."""
        self.abandoned = True
        self.release()
        return self.released

    def done(self) -> bool:
        """Whether the waiting task has been woken, or will be without delay."""
        return self.released or self._awaited.done()

    def result(self) -> Any:
        """What the waiting task wakes with."""
        if self.abandoned:
            raise asyncio.CancelledError
        return None if self.released else self._awaited.result()


@types.coroutine
def wait(waiting: Waiting | None) -> Generator[Waiting | None, None, None]:
    """Waits in the awaiting task; without anything to wait for, until the loop's next turn."""
    yield waiting
