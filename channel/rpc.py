"""One call: what its two sides share, who steps its handler, and how it ends.

The handler runs only while somebody waits for it: `progress` steps it until it has handed something
over, so a message is never buffered and a handler never runs ahead of its reader. Who has no task
to wait in uses `step`, and is called when there is news. A call ends for its caller as soon as
there is a status; a handler that is not through by then (it closes things, it ignores its
cancellation) finishes in a task that the server waits for when it stops.
"""

from __future__ import annotations

import asyncio
import contextvars
import types
from collections.abc import Callable, Coroutine, Generator
from typing import Any, Protocol, TypeAlias

import grpc

from channel.callbacks import call_back
from channel.metadata import Entries
from channel.state import NOTHING, CallState
from channel.status import SELF_CANCELLED, Status
from channel.stepping import HANDED_OVER, SteppedTask
from channel.waiting import Waiting

Handler: TypeAlias = Callable[[Any], Coroutine[Any, Any, None]]  # given the `Context`


class Keeper(Protocol):
    """The server, as a call sees it."""

    def left(self, rpc: Rpc) -> None:
        """Hears that the call's handler has ended, or will never start."""

    def keep(self, finishing: Coroutine[Any, Any, None]) -> None:
        """Runs to its end what a handler still has to do after its call has ended."""


class Rpc(CallState):
    """One call, but for what its handler sees of it: that is `Context`.

    `handler` makes the coroutine that is stepped, in `context`; `timeout` is in seconds. The
    handler starts when somebody first waits for it.
    """

    address = "in-process"  # of the caller, unless who opens it knows better
    ahead = False  # who drives it wants to hear of initial metadata that comes ahead of messages
    waits = False  # the handler, after a `step`, for something that is still to come

    def __init__(
        self,
        method: str,
        request: object,
        metadata: Entries,
        timeout: float | None,
        handler: Handler,
        context: contextvars.Context,
        keeper: Keeper,
        loop: asyncio.AbstractEventLoop,
    ) -> None:
        CallState.__init__(self, loop)
        self.method = method
        self.request = request
        self.metadata = metadata
        self.task: SteppedTask | None = None
        self.driven = False  # some task is in `progress`, or the handler in a `step`
        self.on_news: Callable[[], None] | None = None  # of who uses `step`; it may hold this
        self._waiting: Waiting | None = None
        self._callbacks: list[Callable[[Any], object]] | None = None  # for the handler's end
        self._handler: Handler | None = handler
        self._context = context
        self._keeper = keeper
        if timeout is not None:
            self._set_deadline(timeout)

    # The caller's side.

    @types.coroutine
    def progress(self, ahead: bool = False) -> Generator[Any, Any, None]:
        """Steps the handler until it hands something over or the call ends.

        One task at a time: others wait for what comes of it. Cancelling it leaves the handler where
        it is.
        """
        if self.driven:
            yield from self.change()
            return
        task = self.task or self._start()
        self.driven = True
        self.ahead = ahead
        error: BaseException | None = None
        try:
            awaited: Any = task.step() if task.awaited is None else task.awaited
            while self.status is None and awaited is not HANDED_OVER:
                waiting = self._waiting = None if awaited is None else Waiting(awaited)
                try:
                    yield waiting
                except BaseException as raised:
                    if waiting is None or waiting.abandoned or isinstance(raised, GeneratorExit):
                        raise
                    error = raised
                if self.status is not None or (waiting is not None and waiting.released):
                    break
                self._waiting = None
                awaited = task.step(error)
                error = None
        finally:
            error = None  # see `SteppedTask.step`
            self.driven = False
            self._waiting = None
            if self._watchers:
                self.wake_watchers()
            if self.status is not None and not task.ended:
                self._unwind(task)

    def step(self) -> None:
        """Steps the handler, which must not wait, until it does, hands something over or ends.

        Who uses it has set `on_news`, which is called when one that waits can be stepped again, and
        for what comes of others.
        """
        task = self.task or self._start()
        self.driven = True
        try:
            awaited: Any = task.step_on()
        finally:
            self.driven = False
            if self.status is not None and not task.ended:
                self._unwind(task)
        if self.status is None and awaited is not HANDED_OVER:
            self.waits = True
            if awaited is None:
                self.loop.call_soon(self._go_on)
            else:
                awaited.add_done_callback(self._go_on)

    def _go_on(self, awaited: object = None) -> None:
        self.waits = False
        if self.status is None and self.on_news is not None:
            self.on_news()  # who has to be rid of what others handed over before the next step

    def terminate(self, status: Status) -> None:
        """Ends the call from outside its handler, which is cancelled. No effect after the end."""
        if self.status is not None:
            return
        self.message = NOTHING
        if self.taken is not None and not self.taken.done():
            self.taken.set_exception(grpc.aio.InternalError("The call has ended."))
        if self.task is not None:
            self.task.cancel()
        self.end(status)

    # The handler's side.

    def offer(self) -> None:
        """Lets whoever waits see what is new, if not the one who steps the handler."""
        if self._waiting is not None:
            self._waiting.release()
        if self._watchers:
            self.wake_watchers()
        if self.on_news is not None and not self.driven:
            self.loop.call_soon(self.on_news)  # as a task would be woken

    def end(self, status: Status) -> None:
        """Decides, once, how the call ends: a handler may not heed that it has ended."""
        if self.status is not None:
            return
        self._settle(status)
        self.offer()
        if self.task is None:
            self._handler = None
            self._keeper.left(self)
        elif not (self.driven or self.task.ended):
            self._unwind(self.task)
        if self.on_end is not None:
            self._tell_end()

    # Stepping.

    def _start(self) -> SteppedTask:
        handler, self._handler = self._handler, None  # which may hold what holds this
        assert handler is not None  # noqa: S101 - it is started once
        self.task = SteppedTask(handler(self), self._context, self.loop, self._handler_ended)
        return self.task

    def _handler_ended(self) -> None:
        if self.status is None:
            self.end(SELF_CANCELLED)
        self._keeper.left(self)
        if self._callbacks is not None:
            call_back(self._callbacks, self, self.loop)

    def _unwind(self, task: SteppedTask) -> None:
        """Lets the handler of an ended call finish: at once if it can, else in a kept task."""
        if self.loop.is_closed():
            return
        if task.awaited is None or task.awaited.done():
            task.step_on()
        if not task.ended:
            self._keeper.keep(task.run_to_end())
