"""The caller's half of a relayed call: what has come of it, and what its caller does about it."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable
from typing import Any, Final, Protocol

import grpc

from channel.metadata import Entries
from channel.state import NOTHING, CallState
from channel.status import Status
from relay.credit import Window
from relay.frames import PER_MESSAGE, WINDOW, too_large

_UNREADABLE: Final = Status(grpc.StatusCode.INTERNAL, "Exception deserializing response!")


class Line(Protocol):
    """The stream, as a call sees it."""

    def left(self, call: RemoteCall) -> None:
        """Hears that the caller has ended the call."""

    def give(self, call: RemoteCall, credit: int) -> None:
        """Lets the call's handler send that much more."""


class RemoteCall(CallState):
    """One call. `limit` is the largest message it takes, in bytes; `timeout` is in seconds."""

    _size = 0  # of the parts
    _unread = 0  # of the parts, what does not count as read
    _window: Window | None = None  # of a call that goes on after its first message

    def __init__(
        self,
        number: int,
        line: Line,
        deserialize: Callable[[bytes], Any] | None,
        limit: int,
        timeout: float | None,
        loop: asyncio.AbstractEventLoop,
    ) -> None:
        super().__init__(loop)
        self.number = number
        self._line = line
        self._deserialize = deserialize
        self._limit = limit
        # With what each counts. The first is `message`.
        self._inbox: deque[tuple[bytes, int]] = deque()
        self._parts: list[bytes] = []
        if timeout is not None:
            self._set_deadline(timeout)

    # The caller's side.

    def take(self) -> Any:
        """The next message. Raises AioRpcError if it cannot be deserialized."""
        super().take()
        data, cost = self._inbox.popleft()
        if self._inbox:
            self.message = self._inbox[0][0]
        else:
            cost += self._unread
            self._unread = 0
        self._read(cost)
        if self._deserialize is None:
            return data
        try:
            return self._deserialize(data)
        except Exception:
            self.terminate(_UNREADABLE)
            self.status = _UNREADABLE  # even if it had ended well for the handler
            self.raise_if_failed()

    def terminate(self, status: Status) -> None:
        """Ends the call from the caller's side; its handler is cancelled."""
        if self.status is not None:
            return
        self.message = NOTHING
        self._inbox.clear()
        self._parts.clear()
        self._line.left(self)
        self.end(status)

    # The stream's side.

    def begin_answer(self, metadata: Entries) -> None:
        """Takes the initial metadata."""
        self.initial_metadata = metadata
        self.wake_watchers()

    def receive_part(self, part: bytes) -> None:
        """Takes a part of a message: as read, if it is the next one, for its reader needs all."""
        if not self._fits(part):
            return
        self._parts.append(part)
        if self.message is NOTHING:
            self._read(len(part))
        else:
            self._unread += len(part)

    def receive(self, message: bytes) -> None:
        """Takes a message, or the last part of one."""
        if not self._fits(message):
            return
        cost = len(message) + PER_MESSAGE + self._unread
        if self._parts:
            message = b"".join((*self._parts, message))
            self._parts.clear()
        self._size = self._unread = 0
        if self.initial_metadata is None:
            self.initial_metadata = ()
        self._inbox.append((message, cost))
        if self.message is NOTHING:
            self.message = message
        if self._watchers:
            self.wake_watchers()

    def end(self, status: Status) -> None:
        """Takes the status. Messages that came before it are still there to be read."""
        self._settle(status)
        if self._watchers:
            self.wake_watchers()
        self._tell_end()

    def _fits(self, data: bytes) -> bool:
        self._size += len(data)
        if self._size <= self._limit:
            return True
        self.terminate(too_large("Received", self._size, self._limit))
        return False

    def _read(self, size: int) -> None:
        if self.status is not None:
            return
        if self._window is None:
            self._window = Window(WINDOW)
        if credit := self._window.read(size):
            self._line.give(self, credit)
