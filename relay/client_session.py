"""The caller's end of one stream: opens calls on it, and hands each what comes for it."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator
from typing import Any, Final, Protocol

import grpc
from llmbase.relay.v1.relay_pb2 import RelayRequest, ServerFrame

from channel.metadata import Entries
from channel.status import CANCELLED, Status
from relay.frames import (
    LARGEST_METADATA,
    WINDOW,
    from_texts,
    from_wire,
    microseconds,
    status_from_wire,
    to_texts,
    to_wire,
)
from relay.outbox import Frame, Outbox
from relay.remote_call import RemoteCall

_LOST: Final = "The relay's stream was lost."


class Stream(Protocol):
    """grpc.aio's call of the relay's one method, as a session uses it."""

    async def read(self) -> Any: ...  # noqa: D102
    async def write(self, request: Any) -> None: ...  # noqa: D102
    async def done_writing(self) -> None: ...  # noqa: D102


class ClientSession:
    """One stream's calls. `largest_message`, in bytes, is what an answer may have."""

    def __init__(self, largest_message: int) -> None:
        self._largest_message = largest_message
        self._loop = asyncio.get_running_loop()
        self._outbox = Outbox(RelayRequest)
        self._calls: dict[int, RemoteCall] = {}
        self._last = 0
        self._largest_request = self._largest_in_parts = -1  # until the server says what it takes
        self._whole_requests = False
        self._drained = False  # no call may be opened any more
        self._retired = False  # by the caller's own doing
        self.welcomed = asyncio.Event()

    @property
    def calls(self) -> int:
        """How many calls are open."""
        return len(self._calls)

    def takes(self, size: int, metadata: int = 0) -> bool:
        """Whether a request and metadata of so many bytes may be sent over this stream.

        Not if it takes nothing any more: calls are better off without it.
        """
        if self._drained or self._outbox.full or metadata > LARGEST_METADATA:
            return False
        if size + metadata <= self._largest_request:
            return True
        return size <= self._largest_in_parts and not self._outbox.busy

    def begin(
        self,
        method: str,
        request: bytes,
        metadata: Entries,
        timeout: float | None,
        deserialize: Callable[[bytes], Any] | None,
    ) -> RemoteCall:
        """Opens a call, which the server hears of at the end of the loop's turn."""
        self._last = number = self._last + 1
        call = RemoteCall(number, self, deserialize, self._largest_message, timeout, self._loop)
        if call.status is not None:
            return call  # its time ran out before it began
        self._calls[number] = call
        opened = {"method": method, "timeout_us": microseconds(timeout), "credit": WINDOW}
        fits = len(request) <= self._largest_request
        texts = to_texts(metadata) if fits and self._whole_requests else None
        if texts is not None:
            whole = {**opened, "metadata": texts, "message": request}
            self._outbox.put(len(request), call=number, whole_request=whole)
            return call
        self._outbox.put(call=number, open={**opened, "metadata": to_wire(metadata)})
        if fits:
            self._outbox.put(len(request), call=number, message=request)
            self._outbox.put(call=number, half_close=True)
        else:
            self._outbox.put_long(number, _in_parts(number, request, self._largest_request))
        return call

    async def run(self, stream: Stream) -> None:
        """Carries calls until the stream ends. Raises what `stream.read` raises.

        Whatever happens, every call has ended afterwards, and no other can be opened.
        """
        writing = self._loop.create_task(self._write(stream))
        lost = _LOST
        try:
            while (response := await stream.read()) is not grpc.aio.EOF:
                for frame in response.frames:
                    self._receive(frame)
        except grpc.aio.AioRpcError as error:
            lost = error.details() or lost
            raise
        finally:
            self._drained = True
            writing.cancel()
            broken = Status(grpc.StatusCode.UNAVAILABLE, lost)
            self._end_all(CANCELLED if self._retired else broken)

    def retire(self) -> None:
        """Opens no more calls, and ends the stream when the last has ended."""
        self._drained = self._retired = True
        self._half_close_if_over()

    def cancel_all(self) -> None:
        """Ends every call as if its caller had cancelled it; no other can be opened."""
        self.retire()
        self._end_all(CANCELLED)

    # What calls need of it.

    def left(self, call: RemoteCall) -> None:
        """Tells the server that the caller has ended the call."""
        if self._calls.pop(call.number, None) is not None:
            self._outbox.drop_long(call.number)
            self._outbox.put(call=call.number, cancel=True)
            self._half_close_if_over()

    def give(self, call: RemoteCall, credit: int) -> None:
        """Lets the server send more of the call."""
        self._outbox.put(call=call.number, credit=credit)

    # The stream.

    async def _write(self, stream: Stream) -> None:
        try:
            await self._outbox.run(stream.write)
            await stream.done_writing()
        except (grpc.aio.AioRpcError, asyncio.InvalidStateError):
            return  # the stream is lost, and its reader hears why

    def _receive(self, frame: ServerFrame) -> None:
        kind = frame.WhichOneof("kind")
        if not frame.call:
            self._receive_news(frame, kind)
            return
        call = self._calls.get(frame.call)
        if call is None:
            return  # it has been cancelled
        if kind == "whole_answer":
            answer = frame.whole_answer
            status = Status(grpc.StatusCode.OK, "", from_wire(answer.trailing_metadata))
            if call.initial_metadata is None:
                call.initial_metadata = from_texts(answer.initial_metadata)
            call.receive(answer.message)
            self._end(call, status)
        elif kind == "message":
            call.receive(frame.message)
        elif kind == "part":
            call.receive_part(frame.part)
        elif kind == "initial_metadata":
            call.begin_answer(from_wire(frame.initial_metadata.metadata))
        elif kind == "status":
            self._end(call, status_from_wire(frame.status))

    def _end(self, call: RemoteCall, status: Status) -> None:
        if self._calls.pop(call.number, None) is None:
            return  # what came with the status was too large
        self._outbox.drop_long(call.number)  # who has answered reads no more of it
        call.end(status)
        self._half_close_if_over()

    def _receive_news(self, frame: ServerFrame, kind: str | None) -> None:
        if kind == "welcome":
            self._largest_request = frame.welcome.largest_request
            self._largest_in_parts = frame.welcome.largest_in_parts
            self._whole_requests = frame.welcome.whole_requests
            self.welcomed.set()
        elif kind == "drain":
            self._drained = True
            self._half_close_if_over()

    def _half_close_if_over(self) -> None:
        if self._drained and not self._calls:
            self._outbox.close()

    def _end_all(self, status: Status) -> None:
        for call in tuple(self._calls.values()):
            call.terminate(status)


def _in_parts(call: int, request: bytes, largest: int) -> Iterator[Frame]:
    """Make the frames of a request one by one."""
    for at in range(0, len(request), largest):
        part = request[at : at + largest]
        kind = "part" if at + largest < len(request) else "message"
        yield len(part), {"call": call, kind: part}
    yield 0, {"call": call, "half_close": True}
