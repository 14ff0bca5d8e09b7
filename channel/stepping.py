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
from typing import Any, Final

from channel.waiting import Waiting, wait

HANDED_OVER: Final = object()
_ENDED: Final = object()
_ENDS: Final = (StopIteration, asyncio.CancelledError)


@types.coroutine
def hand_over() -> Generator[object, None, None]:
    """Stops the coroutine that awaits this until its reader comes back for more."""
    yield HANDED_OVER


class SteppedTask:
    """Runs a coroutine step by step for whoever waits for its next result.

    asyncio allows task implementations of one's own ("Extending" in its documentation), and this
    is one. Inside a step `asyncio.current_task()` is this object, so that `asyncio.timeout`, task
    groups and HTTP clients cancel the coroutine and never the task that happens to step it, and so
    that the coroutine may be stepped by one task now and by another later. It runs in `context`;
    `on_end` is called when it has ended.
    """

    def __init__(
        self,
        coroutine: Coroutine[Any, Any, None],
        context: contextvars.Context,
        loop: asyncio.AbstractEventLoop,
        on_end: Callable[[], None],
    ) -> None:
        self.awaited: asyncio.Future[Any] | None = None
        self.ended = False
        self._must_cancel = False
        self._cancelling = 0
        self._coroutine = coroutine
        self._steps = coroutine.__await__()
        self._context = context
        self._loop = loop
        self._on_end: Callable[[], None] | None = on_end

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
        loop: asyncio.AbstractEventLoop = self._loop
        this: Any = self  # a task in asyncio's eyes
        stepping = asyncio.current_task(loop)
        if stepping is not None:
            _leave_task(loop, stepping)
        _enter_task(loop, this)
        try:
            if error is None:
                # Not by `send`, whose way to say that this was the last step is an exception.
                yielded = self._context.run(next, self._steps, _ENDED)
                if yielded is _ENDED:
                    self.ended = True
                    yielded = None
            else:
                yielded = self._context.run(self._steps.throw, error)
        except _ENDS:
            self.ended = True
            yielded = None
        except BaseException:
            self.ended = True
            raise
        finally:
            error = None  # else error, traceback and this frame would keep each other
            _leave_task(loop, this)
            if stepping is not None:
                _enter_task(loop, stepping)
            if self.ended and self._on_end is not None:
                on_end, self._on_end = self._on_end, None  # it may hold this task
                on_end()
        if yielded is None or yielded is HANDED_OVER:
            return yielded
        return self._wait_for(yielded)

    def step_on(self) -> object:
        """Steps with the outcome of what the coroutine awaits, which must be there."""
        return self.step(None if self.awaited is None else _failure(self.awaited))

    async def run_to_end(self) -> None:
        """Steps through all that is left; cancelling this cancels the coroutine."""
        error: BaseException | None = None
        while not self.ended:
            waiting = None if self.awaited is None else Waiting(self.awaited)
            try:
                await wait(waiting)
            except GeneratorExit:
                raise
            except BaseException as raised:
                if waiting is None or waiting.abandoned:
                    self.cancel()
                    continue
                error = raised
            self.step(error)
            error = None

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
        this: Any = self  # a task in asyncio's eyes
        return asyncio.current_task(self._loop) is this

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


def _failure(done: asyncio.Future[Any]) -> BaseException | None:
    try:
        done.result()
    except BaseException as error:
        return error
    return None
