"""What a stub's methods return: grpc.aio's call objects over the state of a call.

Of an in-process call, awaiting or reading them runs the handler, in the task that awaits. A call
that is dropped before its end is cancelled.
"""

from __future__ import annotations

import asyncio
import enum
import weakref
from collections.abc import AsyncIterator, Callable, Generator
from typing import Any, Generic, TypeVar, cast

import grpc

from channel.callbacks import call_back
from channel.metadata import as_mapping
from channel.state import NOTHING, CallState
from channel.status import CANCELLED, DROPPED, SECOND_MESSAGE, Status

Request = TypeVar("Request")
Response = TypeVar("Response")


class _Call(grpc.aio.Call):
    """What both kinds of call have in common."""

    _callbacks: list[Callable[[Any], object]] | None = None

    def __init__(self, rpc: CallState) -> None:
        self._rpc = rpc

    def __del__(self) -> None:
        rpc = self._rpc
        if rpc.status is None and not rpc.loop.is_closed():
            # Garbage is collected anywhere, even in another thread.
            rpc.loop.call_soon_threadsafe(self._cancel, DROPPED)

    def cancel(self) -> bool:
        """Ends the call and cancels its handler, now. Returns False if it had ended already."""
        return self._rpc.status is None and self._cancel(CANCELLED)

    def cancelled(self) -> bool:
        """Whether the call has ended with the code CANCELLED."""
        status = self._rpc.status
        return status is not None and status.code is grpc.StatusCode.CANCELLED

    def done(self) -> bool:
        """Whether the call has ended."""
        return self._rpc.status is not None

    def time_remaining(self) -> float | None:
        """Seconds until the deadline, never negative; None without a deadline."""
        return self._rpc.time_remaining()

    def add_done_callback(self, callback: Callable[[Any], object]) -> None:
        """Has `callback(call)` called when the call ends, at once if it has ended."""
        if self._callbacks is None:
            self._callbacks = []
        self._callbacks.append(callback)
        if self._rpc.status is None:
            self._rpc.on_end = weakref.WeakMethod(self._call_back)
        else:
            self._call_back()

    async def initial_metadata(self) -> grpc.aio.Metadata:
        """What the handler sent ahead of its first message; runs the handler up to there."""
        rpc = self._rpc
        if rpc.initial_metadata is None:
            await rpc.until(lambda: rpc.initial_metadata is not None)
        return as_mapping(rpc.initial_metadata or ())

    async def trailing_metadata(self) -> grpc.aio.Metadata:
        """What came with the status."""
        return as_mapping((await self._status()).trailing_metadata)

    async def code(self) -> grpc.StatusCode:
        """The status code. Waits for the end, and so until others have read all messages."""
        return (await self._status()).code

    async def details(self) -> str:
        """The text that came with the status."""
        return (await self._status()).details

    async def wait_for_connection(self) -> None:
        """Returns when the handler has answered; raises AioRpcError if it has failed by then."""
        await self.initial_metadata()
        self._rpc.raise_if_failed()

    async def _status(self) -> Status:
        rpc = self._rpc
        await rpc.until(lambda: rpc.status is not None)
        return cast(Status, rpc.status)

    def _cancel(self, status: Status) -> bool:
        if self._rpc.status is not None:
            return False
        self._rpc.terminate(status)
        self._call_back()  # a dropped call has lost the weak way back to this
        return True

    def _call_back(self) -> None:
        if self._callbacks is not None:
            call_back(self._callbacks, self, self._rpc.loop)


class UnaryUnaryCall(_Call, grpc.aio.UnaryUnaryCall[Request, Response], Generic[Request, Response]):
    """A call with one answer: awaiting it gives the answer, again and again."""

    _response: Any = None

    def __await__(self) -> Generator[Any, None, Response]:
        """Raises AioRpcError when the call fails, CancelledError when it has been cancelled."""
        try:
            while not self._has_ended():
                yield from self._rpc.progress()  # type: ignore[misc] # as `await` does
        except asyncio.CancelledError:
            self.cancel()
            raise
        self._rpc.raise_if_failed()
        response: Response = self._response
        return response

    async def wait_for_connection(self) -> None:
        """Returns when the answer is there; raises AioRpcError if the call failed."""
        await self

    async def _status(self) -> Status:
        while not self._has_ended():
            await self._rpc.progress()
        return cast(Status, self._rpc.status)

    def _has_ended(self) -> bool:
        """Whether the call has, after this has taken what has come of it."""
        rpc = self._rpc
        if rpc.message is not NOTHING:
            if self._response is not None:
                rpc.terminate(SECOND_MESSAGE)
            else:
                self._response = rpc.take()
        return rpc.status is not None


class _Style(enum.Enum):
    """How the messages are asked for; grpc.aio does not allow to mix the two."""

    READ = enum.auto()
    ITERATE = enum.auto()


class UnaryStreamCall(
    _Call, grpc.aio.UnaryStreamCall[Request, Response], Generic[Request, Response]
):
    """A call with a stream of answers, each made when it is asked for."""

    _style: _Style | None = None
    _reading = False

    async def read(self) -> Any:
        """The next message, or grpc.aio.EOF after the last.

        In process it is the very object that the handler wrote: neither side may change it. Raises
        AioRpcError when the call has failed, CancelledError when it has been cancelled, UsageError
        while another read is under way.
        """
        if self._rpc.status is None or self._rpc.message is not NOTHING:
            self._use(_Style.READ)
            if self._reading:
                raise grpc.aio.UsageError("One read at a time: another is under way.")
        return await self._next()

    def __aiter__(self) -> AsyncIterator[Response]:
        self._use(_Style.ITERATE)
        return self

    async def __anext__(self) -> Response:
        if self._reading:
            raise RuntimeError("anext(): the call is already being iterated")
        message = await self._next()
        if message is grpc.aio.EOF:
            raise StopAsyncIteration
        return cast(Response, message)

    async def aclose(self) -> None:
        """Ends the iteration early, and the call with it."""
        self.cancel()

    async def _next(self) -> Any:
        rpc = self._rpc
        self._reading = True
        try:
            while rpc.message is NOTHING:
                if rpc.status is not None:
                    rpc.raise_if_failed()
                    return grpc.aio.EOF
                await rpc.progress()
        except asyncio.CancelledError:
            self.cancel()
            raise
        finally:
            self._reading = False
        return rpc.take()

    def _use(self, style: _Style) -> None:
        if self._style is None:
            self._style = style
        elif self._style is not style:
            raise grpc.aio.UsageError(
                "The iterator and read/write APIs may not be mixed on a single RPC."
            )
