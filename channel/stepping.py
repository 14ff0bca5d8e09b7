"""A coroutine that its reader steps: a task in asyncio's eyes, yet no task of the loop's.

A step runs the coroutine up to its next `yield`. What it yields is either the future it waits for,
which the reader then waits for in its place, or `HANDED_OVER`, which says that there is something
for the reader to take.
"""

from __future__ import annotations

import asyncio
import contextvars
import types
from asyncio.tasks import _enter_task, _leave_task
from collections.abc import Callable, Coroutine, Generator
from typing import Any, Final, cast

HANDED_OVER: Final = object()


@types.coroutine
def hand_over() -> Generator[object, None, None]:
    """Stops the coroutine that awaits this until its reader comes back for more."""
    yield HANDED_OVER


class SteppedTask:
    """Runs a coroutine step by step for whoever waits for its next result.

    asyncio allows task implementations of one's own ("Extending" in its documentation), and this
    is one. Inside a step `asyncio.current_task()` is this object, so that `asyncio.timeout`, task
    groups and HTTP clients cancel the coroutine and never the task that happens to step it, and so
    that the coroutine may be stepped by one task now and by another later. It runs in `context`.
    """

    __slots__ = (
        "__weakref__",
        "_cancelling",
        "_context",
        "_coroutine",
        "_loop",
        "_must_cancel",
        "awaited",
        "ended",
        "running",
    )

    def __init__(
        self,
        coroutine: Coroutine[Any, Any, None],
        context: contextvars.Context,
        loop: asyncio.AbstractEventLoop,
    ) -> None:
        self._coroutine = coroutine
        self._context = context
        self._loop = loop
        self._cancelling = 0
        self._must_cancel = False
        self.awaited: asyncio.Future[Any] | None = None
        self.running = False
        self.ended = False

    def step(self, error: BaseException | None = None) -> object:
        """Runs to the next `yield` and returns what was yielded; None also when it has `ended`.

        `error` is thrown in where the coroutine waits. What the coroutine raises is raised here,
        except a cancellation, with which a task just ends.
        """
        if self._must_cancel:
            self._must_cancel = False
            if not isinstance(error, asyncio.CancelledError):
                error = asyncio.CancelledError()
        self.awaited = None
        loop, this = self._loop, cast("asyncio.Task[Any]", self)
        stepping = asyncio.current_task(loop)
        if stepping is not None:
            _leave_task(loop, stepping)
        _enter_task(loop, this)
        self.running = True
        try:
            if error is None:
                yielded = self._context.run(self._coroutine.send, None)
            else:
                yielded = self._context.run(self._coroutine.throw, error)
        except (StopIteration, asyncio.CancelledError):
            self.ended = True
            return None
        except BaseException:
            self.ended = True
            raise
        finally:
            error = None  # else error, traceback and this frame would keep each other
            self.running = False
            _leave_task(loop, this)
            if stepping is not None:
                _enter_task(loop, stepping)
        if yielded is None or yielded is HANDED_OVER:
            return yielded
        return self._wait_for(yielded)

    def _wait_for(self, yielded: Any) -> object:
        if getattr(yielded, "_asyncio_future_blocking", None) is None:
            return self.step(RuntimeError(f"a handler cannot await {yielded!r} under asyncio"))
        yielded._asyncio_future_blocking = False  # tells the future that its `yield` was heard
        self.awaited = yielded
        if self._must_cancel and yielded.cancel():
            self._must_cancel = False
        return self.awaited

    def is_current(self) -> bool:
        """Whether the code that asks is the coroutine's, not that of a task it has started."""
        return asyncio.current_task(self._loop) is cast("asyncio.Task[Any]", self)

    # What asyncio and its users expect of the current task.

    def cancel(self, msg: Any = None) -> bool:
        """Cancels what the coroutine awaits, or else has its next step raise CancelledError."""
        if self.ended:
            return False
        self._cancelling += 1
        if self.awaited is None or not self.awaited.cancel(msg):
            self._must_cancel = True
        return True

    def cancelling(self) -> int:
        """How many cancellations nobody has taken back."""
        return self._cancelling

    def uncancel(self) -> int:
        """Takes one cancellation back, even undelivered; returns how many are left."""
        self._cancelling = max(0, self._cancelling - 1)
        if not self._cancelling:
            self._must_cancel = False
        return self._cancelling

    def done(self) -> bool:
        """Whether the coroutine has ended."""
        return self.ended

    def get_loop(self) -> asyncio.AbstractEventLoop:
        """The loop whose futures the coroutine may await."""
        return self._loop

    def get_coro(self) -> Coroutine[Any, Any, None]:
        """The coroutine itself."""
        return self._coroutine

    def get_name(self) -> str:
        """The name that log records show."""
        return f"in-process handler {id(self):#x}"


class Waiting:
    """The future that a stepped coroutine awaits, as the reader's task awaits it in its place.

    It adds two things to that future: the reader can be let go before it is done (`release`), and
    cancelling the reader's task leaves it alone and is remembered (`abandoned`), so that the two
    cancellations cannot be taken for each other. The reader's task is woken by the future itself.
    """

    __slots__ = (
        "_asyncio_future_blocking",
        "_awaited",
        "_context",
        "_wake",
        "abandoned",
        "released",
    )

    def __init__(self, awaited: asyncio.Future[Any]) -> None:
        self._asyncio_future_blocking = True  # asyncio's mark of what a task may wait for
        self._awaited = awaited
        self._wake: Callable[[Any], object] | None = None
        self._context: contextvars.Context | None = None
        self.abandoned = False
        self.released = False

    def release(self) -> None:
        """Wakes the waiting task on the loop's next turn, unless it is about to wake anyway."""
        if self.released or self._awaited.done():
            return
        self.released = True
        if self._wake is not None:
            self._awaited.remove_done_callback(self._wake)
            self.get_loop().call_soon(self._wake, self, context=self._context)

    # What a task, asyncio's own or a stepped one, calls on what it waits for.

    def get_loop(self) -> asyncio.AbstractEventLoop:
        """The loop of the awaited future."""
        return self._awaited.get_loop()

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
