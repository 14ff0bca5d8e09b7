"""The server's half of a relayed call: steps the handler and says what it hands over.

The handler is stepped only while its caller has given credit, so it is never further ahead of its
reader than a window, and neither is the provider that it reads from. No task waits for it: whatever
changes (what the handler waits for, credit, room, the call's end) has the call looked at again.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import Final, cast

import grpc
from llmbase.relay.v1.relay_pb2 import Open, WholeRequest

from channel.handling import MethodHandler
from channel.in_process import InProcessServer
from channel.rpc import Rpc
from channel.status import CANCELLED, Status
from relay.answer import Answer
from relay.frames import (
    LARGEST_METADATA,
    LARGEST_REQUEST,
    from_texts,
    from_wire,
    timeout_of,
    too_large,
)
from relay.outbox import Outbox
from wire.leftovers import LEFTOVERS

_LOG = logging.getLogger("llmbase.relay")
_NO_REQUEST: Final = Status(grpc.StatusCode.INTERNAL, "The call has no request.")


class ServedCall:
    """One call. `limit` is the largest message either way, in bytes; `on_over` is told its number.

    The handler starts when the call is looked at and the request is complete. Raises as `from_wire`
    and `from_texts`, and ValueError for more metadata than may be.
    """

    def __init__(
        self,
        number: int,
        opened: Open | WholeRequest,
        servicers: InProcessServer,
        outbox: Outbox,
        peer: str,
        limit: int,
        on_over: Callable[[int], None],
    ) -> None:
        request: bytes | None = None
        if isinstance(opened, WholeRequest):
            _check_size(sum(map(len, opened.metadata)))
            metadata, request = from_texts(opened.metadata), opened.message
        else:
            _check_size(sum(len(it.key) + len(it.value) for it in opened.metadata))
            metadata = from_wire(opened.metadata)
        whole, timeout = request is not None, timeout_of(opened)
        self._rpc = servicers.open(opened.method, None, metadata, timeout, outbox, self._found)
        self._rpc.address = peer
        self._rpc.on_news = self.look
        self._answer = Answer(number, self._rpc, outbox, opened.credit, limit, whole=whole)
        self._number = number
        self._limit = limit
        self._on_over = on_over
        self._parts = bytearray()  # of the request; one by one they could be any number
        self._complete = whole
        if request is not None:
            self.request(request)

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
        """Hears that the request is complete. The call is to be looked at."""
        self._complete = True
        if self._rpc.request is None:
            self._rpc.terminate(_NO_REQUEST)

    def give(self, credit: int) -> None:
        """Hears that so much more may be sent."""
        self._answer.credit += credit
        self.look()

    def leave(self) -> None:
        """Hears that the caller has left: the handler is cancelled, and nothing more is sent."""
        self._answer.unheard = True
        self._rpc.terminate(CANCELLED)
        self.look()

    def look(self) -> None:
        """Goes on as far as the call can. Called whenever that may be further than before."""
        rpc, answer = self._rpc, self._answer
        if answer.over:
            return
        try:
            while answer.tell():
                if rpc.status is not None:
                    answer.end(rpc.status)
                elif rpc.waits or not self._complete:
                    return
                else:
                    rpc.step()
        except BaseException as error:  # the caller is not to wait for ever
            _LOG.exception("relay failed")
            rpc.terminate(CANCELLED)
            answer.end(Status(grpc.StatusCode.INTERNAL, f"The relay failed: {type(error)}"))
            if not isinstance(error, Exception):
                raise
        finally:
            if answer.over:
                rpc.on_news = None  # which holds this
                self._on_over(self._number)

    def _found(self, rpc: Rpc, method_handler: MethodHandler) -> None:
        self._answer.serialize = method_handler.response_serializer
        if method_handler.request_deserializer is not None:
            size = len(cast(bytes, rpc.request))
            rpc.request = method_handler.request_deserializer(cast(bytes, rpc.request))
            LEFTOVERS.give_back(size)


def _check_size(metadata: int) -> None:
    # Before anything is made of it: keys that were seen are remembered.
    if metadata > LARGEST_METADATA:
        raise ValueError(f"{metadata} bytes, where {LARGEST_METADATA} are allowed")
