"""The server's half of a relayed call: steps the handler and sends what it hands over.

The handler is stepped only while its caller has given credit, so it is never further ahead of its
reader than a window, and neither is the provider that it reads from.
"""

from __future__ import annotations

import weakref
from collections.abc import Callable
from typing import Any, cast

import grpc
from llmbase.relay.v1 import relay_pb2

from channel.handling import MethodHandler
from channel.in_process import InProcessServer
from channel.rpc import Rpc
from channel.state import NOTHING
from channel.status import CANCELLED, Status
from relay.credit import Credit
from relay.frames import (
    LARGEST_METADATA,
    LARGEST_REQUEST,
    PART,
    PER_MESSAGE,
    from_wire,
    size_of,
    status_to_wire,
    timeout_of,
    to_wire,
    too_large,
)
from relay.outbox import Outbox

_NO_REQUEST = Status(grpc.StatusCode.INTERNAL, "The call has no request.")


class ServedCall:
    """One call. `limit` is the largest message either way, in bytes. Raises as `from_wire`."""

    def __init__(
        self,
        number: int,
        opened: relay_pb2.Open,
        servicers: InProcessServer,
        outbox: Outbox,
        peer: str,
        limit: int,
    ) -> None:
        metadata, timeout = from_wire(opened.metadata), timeout_of(opened)
        self._rpc = servicers.open(opened.method, None, metadata, timeout, outbox, self._found)
        self._rpc.peer = peer
        self._rpc.on_end = weakref.WeakMethod(self._look_again)
        self._number = number
        self._outbox = outbox
        self._limit = limit
        self._serialize: Callable[[Any], bytes] | None = None
        self._parts = bytearray()  # of the request; one by one they could be any number
        self._complete = False
        self._begun = False  # the caller knows the initial metadata
        self._left = False  # the caller wants to hear no more
        self._unsent: Status | None = None  # why a message could not be sent
        self.credit = Credit(opened.credit)

    def request_part(self, part: bytes) -> None:
        """Takes a part of the request. One that is too large, or makes it so, ends the call."""
        if self._rpc.status is not None:
            return
        size = len(self._parts) + len(part)
        if len(part) > LARGEST_REQUEST:
            self._rpc.terminate(too_large("Received", len(part), LARGEST_REQUEST))
        elif size > self._limit:
            self._rpc.terminate(too_large("Received", size, self._limit))
        else:
            self._parts += part

    def request(self, message: bytes) -> None:
        """Takes the request, or the last part of it, likewise."""
        if self._parts or len(message) > LARGEST_REQUEST:
            self.request_part(message)
            message = bytes(self._parts)
            self._parts = bytearray()
        self._rpc.request = message

    def half_close(self) -> None:
        """Hears that the request is complete."""
        self._complete = True
        self.credit.look_again()

    def leave(self) -> None:
        """Hears that the caller has left: the handler is cancelled, and nothing more is sent."""
        self._left = True
        self._rpc.terminate(CANCELLED)
        self.credit.look_again()

    async def run(self) -> None:
        """Runs the call to its end."""
        rpc = self._rpc
        while not self._complete and rpc.status is None:
            await self.credit.change()
        if rpc.status is None and rpc.request is None:
            rpc.terminate(_NO_REQUEST)
        while rpc.status is None or rpc.message is not NOTHING:
            if rpc.message is NOTHING:
                await rpc.advance()
            if not self._begun and rpc.initial_metadata is not None:
                self._begin()
            if rpc.message is not NOTHING:
                await self._send(rpc.take())
        self._end(self._unsent or rpc.status)

    def fail(self, error: Exception) -> None:
        """Hears that `run` failed, so that the caller does not wait for ever."""
        self._rpc.terminate(CANCELLED)
        self._end(Status(grpc.StatusCode.INTERNAL, f"The relay failed: {type(error)}"))

    def _end(self, status: Status) -> None:
        size = len(status.details) + size_of(status.trailing_metadata)
        if size > LARGEST_METADATA:
            status = too_large("Sent", size, LARGEST_METADATA)
        self._put(min(size, LARGEST_METADATA), status=status_to_wire(status))

    def _found(self, rpc: Rpc, method_handler: MethodHandler) -> None:
        self._serialize = method_handler.response_serializer
        if method_handler.request_deserializer is not None:
            rpc.request = method_handler.request_deserializer(cast(bytes, rpc.request))

    def _begin(self) -> None:
        self._begun = True
        metadata = self._rpc.initial_metadata
        # A message or a status alone says that there is none.
        if metadata or (self._rpc.message is NOTHING and self._rpc.status is None):
            size = size_of(metadata or ())
            if size <= LARGEST_METADATA:
                self._put(size, initial_metadata={"metadata": to_wire(metadata or ())})
            else:
                self._unsent = too_large("Sent", size, LARGEST_METADATA)
                self._rpc.terminate(self._unsent)

    async def _send(self, message: Any) -> None:
        """Sends it as credit allows; not if the call ends meanwhile."""
        data = self._serialized(message)
        if data is None:
            return
        status, sent = self._rpc.status, 0  # which a unary handler sets with its message
        while len(data) - sent > PART:
            if not await self._may_send(status):
                return
            self.credit.left -= PART
            self._put(PART, part=data[sent : sent + PART])
            sent += PART
        if await self._may_send(status):
            self.credit.left -= len(data) - sent + PER_MESSAGE
            self._put(len(data) - sent + PER_MESSAGE, message=data[sent:] if sent else data)

    def _serialized(self, message: Any) -> bytes | None:
        try:
            data = message if self._serialize is None else self._serialize(message)
        except Exception as error:
            told = f"Failed to serialize response: {type(error)}"
            self._unsent = Status(grpc.StatusCode.INTERNAL, told)
        else:
            if len(data) <= self._limit:
                return cast(bytes, data)
            self._unsent = too_large("Sent", len(data), self._limit)
        self._rpc.terminate(self._unsent)
        return None

    async def _may_send(self, status: Status | None) -> bool:
        while self.credit.left <= 0 or self._outbox.full:
            if self._left or self._rpc.status is not status:
                return False
            await self.credit.change()
        return True

    def _put(self, size: int, **said: Any) -> None:
        if not self._left:
            self._outbox.put(size, call=self._number, **said)

    def _look_again(self) -> None:
        self.credit.look_again()
