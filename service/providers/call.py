"""One RPC as the lower floors see it: until when it may wait, and how a wait is ended early.

The caller's deadline, a provider's limits and a drain all do the same thing: `wait.end(error)`. It
ends the wait for a provider that is going on, or else the next one. So there is one mechanism, and
no timer or scope per read.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from types import TracebackType

from service.errors import DeadlineExceeded, Error
from service.providers.seen import Seen
from telemetry.trace_context import TraceContext
from telemetry.tracing import NO_SPAN, Span

_RESERVE = 0.05  # seconds of a deadline that are kept for telling the caller
_RESERVE_SHARE = 0.05  # of a deadline that are kept at most


class Wait:
    """Guards every wait for a provider: `with call.wait: await ...`. Not reentrant.

    `loop` is the one that runs, where that is known: to ask which it is costs a system call.
    """

    _next: Wait | None = None
    _task: asyncio.Task[object] | None = None
    _cancelling = 0

    def __init__(self, loop: asyncio.AbstractEventLoop | None = None) -> None:
        self._loop = loop
        self._error: Exception | None = None
        self._ended = False  # whether `end` has cancelled the task that waits

    def end(self, error: Exception) -> None:
        """End the wait that is going on, or the next one, by raising `error` there, once."""
        if self._next is not None:
            self._next.end(error)
            return
        if self._error is None or isinstance(error, Error):
            self._error = error  # what ends the whole call outranks what ends an attempt
        if self._task is not None and not self._ended:
            self._ended = True
            self._task.cancel()

    def pass_on(self, wait: Wait) -> None:
        """From now on, what ends this wait ends that one instead."""
        self._next = wait
        if self._error is not None:
            wait.end(self._take())

    def check(self) -> None:
        """Raise what would end the next wait: for who may have to wait, and does not."""
        if self._error is not None:
            raise self._take()

    def __enter__(self) -> None:
        if self._error is not None:
            raise self._take()
        self._task = task = asyncio.current_task(self._loop)
        if task is not None:
            self._cancelling = task.cancelling()

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        task, self._task = self._task, None
        if not self._ended:
            return
        self._ended = False
        # As in asyncio.timeout: a cancellation that also came from outside stays one.
        if (
            task is not None
            and task.uncancel() <= self._cancelling
            and kind is not None
            and issubclass(kind, asyncio.CancelledError)
        ):
            raise self._take() from None

    def _take(self) -> Exception:
        error, self._error = self._error, None
        assert error is not None  # noqa: S101 - only called when one is set
        return error


class Timer:
    """A limit that is moved often and met rarely: moving it costs an assignment, not a timer."""

    __slots__ = ("_at", "_error", "_handle", "_loop", "_wait")

    def __init__(self, wait: Wait, error: Exception) -> None:
        self._loop = asyncio.get_running_loop()
        self._wait = wait
        self._error = error
        self._at: float | None = None
        self._handle: asyncio.TimerHandle | None = None

    def start(self, seconds: float) -> None:
        """Let the limit be met `seconds` from now, unless it is moved or stopped before."""
        self._at = self._loop.time() + seconds
        if self._handle is None or self._handle.when() > self._at:
            self._arm()

    def stop(self) -> None:
        """Nothing is waited for now."""
        self._at = None

    def close(self) -> None:
        """Forget the timer."""
        self._at = None
        if self._handle is not None:
            self._handle.cancel()
            self._handle = None

    def _arm(self) -> None:
        if self._handle is not None:
            self._handle.cancel()
        if self._at is not None:
            self._handle = self._loop.call_at(self._at, self._fire)

    def _fire(self) -> None:
        self._handle = None
        if self._at is None:
            return
        if self._loop.time() < self._at:
            self._arm()
            return
        self._at = None
        self._wait.end(self._error)


class Call:
    """What one RPC brings along. `seconds` is what is left of the caller's deadline, if any.

    `may_serve` says whether another model than the requested one may answer: not when the caller
    forbids it, nor when the caller's key may not use that model. `fallback` says the caller's part
    of that alone, for another llmbase to keep to. `trace` is what a provider is told of the trace,
    and `span` the piece of work within which it is asked. `sent` is set when a provider is sent a
    request for it: from then on it may cost something. `waited` counts the seconds that it has
    waited for others: for a place, and for providers. `seen` is what checking has seen of its
    request, until that is encoded for the first time. `loop` is the one that it runs in.
    """

    seen: Seen | None = None
    sent = False

    def __init__(
        self,
        request_id: str,
        seconds: float | None = None,
        may_serve: Callable[[str], bool] = lambda model_id: True,
        fallback: bool = True,
        trace: TraceContext | None = None,
        span: Span = NO_SPAN,
        loop: asyncio.AbstractEventLoop | None = None,
    ) -> None:
        self.request_id = request_id
        self.may_serve = may_serve
        self.fallback = fallback
        self.trace = trace
        self.span = span
        self.loop = loop = loop or asyncio.get_running_loop()
        self.wait = Wait(loop)
        self.waited = 0.0
        self._until: float | None = None
        self._timer: asyncio.TimerHandle | None = None
        if seconds is not None:
            # The answer has to be there in time, not to be sent off in time.
            left = max(seconds - min(_RESERVE_SHARE * seconds, _RESERVE), 0)
            self._until = loop.time() + left
            self._timer = loop.call_at(self._until, self.wait.end, _too_late())

    def seconds_left(self) -> float | None:
        """Return what is left for providers to answer in; None without a deadline."""
        if self._until is None:
            return None
        return max(0.0, self._until - self.loop.time())

    def fork(self, seconds: float | None = None) -> Call:
        """Return a call for one of several attempts at a time, to be waited for by its own task.

        No clock of the fork's is running: whoever races the attempts watches the deadline, which is
        this call's unless another is given.
        """
        fork = Call(
            self.request_id,
            may_serve=self.may_serve,
            fallback=self.fallback,
            trace=self.trace,
            span=self.span,
            loop=self.loop,
        )
        fork._until = self._until
        if seconds is not None:
            fork._until = self.loop.time() + seconds
        return fork

    def detach(self) -> Call:
        """Return a call with the same deadline, for what may outlive this one; close it, too."""
        call = self.fork()
        call.seen, self.seen = self.seen, None
        if call._until is not None:
            call._timer = self.loop.call_at(call._until, call.wait.end, _too_late())
        return call

    def join(self, fork: Call) -> None:
        """Let what ends this call end the fork's waits too, now that it is the one that counts."""
        self.wait.pass_on(fork.wait)

    def close(self) -> None:
        """Stop the deadline's clock."""
        if self._timer is not None:
            self._timer.cancel()


def _too_late() -> DeadlineExceeded:
    return DeadlineExceeded("The caller's deadline ran out.")
