"""What the server says of one call: initial metadata, messages and its end, as credit allows."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, cast

import grpc

from channel.rpc import Rpc
from channel.state import NOTHING
from channel.status import Status
from relay.frames import (
    LARGEST_METADATA,
    PART,
    PER_MESSAGE,
    size_of,
    status_to_wire,
    to_texts,
    to_wire,
    too_large,
)
from relay.outbox import Outbox


class Answer:
    """Tells what `rpc` has handed over. `limit` is the largest message, in bytes.

    `whole`: the caller takes an answer and the call's end in one frame.
    """

    def __init__(
        self, number: int, rpc: Rpc, outbox: Outbox, credit: int, limit: int, *, whole: bool
    ) -> None:
        self._number = number
        self._rpc = rpc
        self._outbox = outbox
        self._limit = limit
        self._whole = whole  # nothing has been said that could not be so
        self._data: bytes | None = None  # a message that is being sent, `_sent` bytes of it already
        self._sent = 0
        self._status: Status | None = None  # which a unary handler sets with its message
        self._begun = False  # the caller knows the initial metadata
        self._unsent: Status | None = None  # why a message could not be sent
        self.serialize: Callable[[Any], bytes] | None = None
        self.credit = credit
        self.unheard = False  # the caller has left
        self.over = False

    def tell(self) -> bool:
        """Says what there is. Returns whether the call goes on: it has credit, and is not over."""
        rpc = self._rpc
        while self._data is not None or rpc.message is not NOTHING:
            if self._data is None:
                self._status, self._sent = rpc.status, 0
                self._data = self._serialized(rpc.take())
                if self._data is not None and self._tell_whole(self._data, self._status):
                    return False
            if not self._begun:
                self._begin()
            if not self._send():
                return False
        if not self._begun and rpc.initial_metadata is not None:
            self._begin()
        return not self.over

    def end(self, status: Status) -> None:
        """Says how the call has ended, or what else kept a message from being sent."""
        status = self._unsent or status
        size = len(status.details) + size_of(status.trailing_metadata)
        if size > LARGEST_METADATA:
            status = too_large("Sent", size, LARGEST_METADATA)
        self._put(min(size, LARGEST_METADATA), status=status_to_wire(status))
        self.over = True

    def _tell_whole(self, data: bytes, status: Status | None) -> bool:
        """Says the message, all metadata and the end as one, if that is all and may leave now."""
        if status is None or status.code is not grpc.StatusCode.OK or status.details:
            return False
        if not self._whole or len(data) > PART or not self._may_send():
            return False
        texts = to_texts(() if self._begun else self._rpc.initial_metadata or ())
        if texts is None:
            return False
        size = sum(map(len, texts)) + size_of(status.trailing_metadata)
        if size > LARGEST_METADATA:
            return False
        answer = {
            "initial_metadata": texts,
            "message": data,
            "trailing_metadata": to_wire(status.trailing_metadata),
        }
        self._put(size + len(data) + PER_MESSAGE, whole_answer=answer)
        self.over = True
        return True

    def _begin(self) -> None:
        metadata = self._rpc.initial_metadata or ()
        self._begun = True
        # A message or a status alone says that there is none.
        if metadata or (self._data is None and self._rpc.status is None):
            size = size_of(metadata)
            if size <= LARGEST_METADATA:
                self._put(size, initial_metadata={"metadata": to_wire(metadata)})
            else:
                self._cut(too_large("Sent", size, LARGEST_METADATA))

    def _send(self) -> bool:
        """Sends the message as far as credit allows; no further if the call ends meanwhile."""
        self._whole = False
        while self._data is not None:
            rest = len(self._data) - self._sent
            if not self._may_send():
                if not self.unheard and self._rpc.status is self._status:
                    return False
                self._data = None
            elif rest > PART:
                self.credit -= PART
                self._put(PART, part=self._data[self._sent : self._sent + PART])
                self._sent += PART
            else:
                self.credit -= rest + PER_MESSAGE
                last = self._data[self._sent :] if self._sent else self._data
                self._data = None
                self._put(rest + PER_MESSAGE, message=last)
        return True

    def _may_send(self) -> bool:
        return self.credit > 0 and not self._outbox.full

    def _serialized(self, message: Any) -> bytes | None:
        try:
            data = message if self.serialize is None else self.serialize(message)
        except Exception as error:
            told = f"Failed to serialize response: {type(error)}"
            self._cut(Status(grpc.StatusCode.INTERNAL, told))
        else:
            if len(data) <= self._limit:
                return cast(bytes, data)
            self._cut(too_large("Sent", len(data), self._limit))
        return None

    def _cut(self, status: Status) -> None:
        """Ends the call for what cannot be sent."""
        self._unsent, self._data = status, None
        self._rpc.terminate(status)

    def _put(self, size: int, **said: Any) -> None:
        if not self.unheard:
            self._outbox.put(size, call=self._number, **said)
