"""One call: what its two sides share, who steps its handler, and how it ends.

The handler runs only while somebody waits for it: `advance` steps it until it has handed something
over, so a message is never buffered and a handler never runs ahead of its reader. A call ends for
its caller as soon as there is a status; a handler that is not through by then (it closes things, it
ignores its cancellation) finishes in a task that the server waits for when it stops.
"""

from __future__ import annotations

import asyncio
import contextvars
import types
from collections.abc import Callable, Coroutine, Generator
from typing import Any, Final, Protocol, TypeAlias

import grpc

from channel.metadata import Entries
from channel.status import DEADLINE_EXCEEDED, SELF_CANCELLED, Status
from channel.stepping import HANDED_OVER, SteppedTask
from channel.waiting import Waiting

NOTHING: Final = object()

Handler: TypeAlias = Callable[["Rpc"], Coroutine[Any, Any, None]]


class Keeper(Protocol):
    """The server, as a call sees it."""

    def left(self, rpc: Rpc) -> None:
        """Hears that the call's handler has ended, or will never start."""

    def keep(self, finishing: Coroutine[Any, Any, None]) -> None:
        """Runs to its end what a handler still has to do after its call has ended."""


class Rpc:
    """The state of one call.

    `handler` makes the coroutine that is stepped, in `context`; `timeout` is in seconds. The
    handler starts when somebody first waits for it.
    """

    __slots__ = (
        "_context",
        "_handler",
        "_keeper",
        "_timer",
        "_waiting",
        "_watchers",
        "deadline",
        "driven",
        "initial_metadata",
        "invocation_metadata",
        "loop",
        "message",
        "method",
        "on_end",
        "on_handler_end",
        "request",
        "status",
        "taken",
        "task",
    )

    def __init__(
        self,
        method: str,
        request: object,
        invocation_metadata: Entries,
        timeout: float | None,
        *,
        handler: Handler,
        context: contextvars.Context,
        keeper: Keeper,
        loop: asyncio.AbstractEventLoop,
    ) -> None:
        self.method = method
        self.request = request
        self.invocation_metadata = invocation_metadata
        self.loop = loop
        self.message: Any = NOTHING  # handed over, not yet taken
        self.taken: asyncio.Future[None] | None = None  # for a writer in a task of its own
        self.initial_metadata: Entries | None = None
        self.status: Status | None = None
        self.task: SteppedTask | None = None
        self.on_end: Callable[[], Callable[[], None] | None] | None = None
        self.on_handler_end: Callable[[], None] | None = None
        self._handler = handler
        self._context = context
        self._keeper = keeper
        self.driven = False  # some task is in `advance`
        self._waiting: Waiting | None = None
        self._watchers: list[asyncio.Future[None]] = []
        self._timer: asyncio.TimerHandle | None = None
        self.deadline: float | None = None
        if timeout is not None:
            self._set_deadline(timeout)

    # The caller's side.

    @types.coroutine
    def advance(self) -> Generator[Any, Any, None]:
        """Steps the handler until it hands something over or the call ends.

        One task at a time (see `until`). Cancelling it leaves the handler where it is.
        """
        task = self.task or self._start()
        self.driven = True
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
                awaited = task.step(error)
                error = None
        finally:
            error = None  # see `SteppedTask.step`
            self.driven = False
            self._waiting = None
            if self._watchers:
                self._wake_watchers()
            if self.status is not None and not task.ended:
                self._unwind(task)

    async def until(self, reached: Callable[[], bool]) -> None:
        """Returns when `reached`, stepping the handler if nobody else does.

        Cancelling the waiting task does not touch the call.
        """
        while not reached():
            if self.driven or self.message is not NOTHING:
                await self.change()
            else:
                await self.advance()

    async def change(self) -> None:
        """Returns when others have stepped the handler, taken its message or ended the call."""
        watcher: asyncio.Future[None] = self.loop.create_future()
        self._watchers.append(watcher)
        await watcher

    def take(self) -> Any:
        """The message handed over; its writer may go on at the next step."""
        message, self.message = self.message, NOTHING
        if self.taken is not None and not self.taken.done():
            self.taken.set_result(None)
        if self._watchers:
            self._wake_watchers()
        return message

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

    def raise_if_failed(self) -> None:
        """Raises CancelledError or grpc.aio.AioRpcError if the call has ended and not well."""
        if self.status is not None:
            self.status.raise_if_failed(self.initial_metadata or ())

    # The handler's side.

    def offer(self) -> None:
        """Lets whoever waits see what is new. Needed only outside the handler's own steps."""
        if self._waiting is not None:
            self._waiting.release()
        if self._watchers:
            self._wake_watchers()

    def end(self, status: Status) -> None:
        """Decides, once, how the call ends."""
        self.status = status
        if self.initial_metadata is None:
            self.initial_metadata = ()
        if self._timer is not None:
            self._timer.cancel()
        self.offer()
        if self.task is None:
            self._keeper.left(self)
        elif not (self.task.ended or self.task.running or self.driven):
            self._unwind(self.task)
        if self.on_end is not None and (tell := self.on_end()) is not None:
            tell()

    # Stepping.

    def _set_deadline(self, timeout: float) -> None:
        self.deadline = self.loop.time() + timeout
        if timeout > 0:
            self._timer = self.loop.call_at(self.deadline, self.terminate, DEADLINE_EXCEEDED)
        else:
            self.terminate(DEADLINE_EXCEEDED)

    def _start(self) -> SteppedTask:
        self.task = SteppedTask(self._handler(self), self._context, self.loop, self._handler_ended)
        return self.task

    def _handler_ended(self) -> None:
        if self.status is None:
            self.end(SELF_CANCELLED)
        self._keeper.left(self)
        if self.on_handler_end is not None:
            self.on_handler_end()

    def _unwind(self, task: SteppedTask) -> None:
        """Lets the handler of an ended call finish: at once if it can, else in a kept task."""
        if self.loop.is_closed():
            return
        task.step_if_ready()
        if not task.ended:
            self._keeper.keep(task.run_to_end())

    def _wake_watchers(self) -> None:
        watchers, self._watchers = self._watchers, []
        for watcher in watchers:
            if not watcher.done():
                watcher.set_result(None)
