"""What a handler sees of its call: grpc.aio's ServicerContext over an in-process call."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any, Never

import grpc

from channel.metadata import Entries, received
from channel.rpc import Rpc
from channel.state import NOTHING
from channel.status import OK, Status
from channel.stepping import hand_over


class Context(Rpc, grpc.aio.ServicerContext[Any, Any]):  # type: ignore[misc] # time is None or not
    """One call, as its handler has it. Errors raised are those of grpc.aio's own context."""

    aborted: grpc.aio.AbortError | None = None
    _code: grpc.StatusCode | None = None
    _details = ""
    _trailing_metadata: tuple[Any, ...] = ()

    async def write(self, message: Any) -> None:
        """Hands the message over; returns when the reader has taken it and wants the next.

        The message is not copied: neither side may change it from now on. Raises
        grpc.aio.InternalError when the call has ended or another write is under way.
        """
        if self.aborted is not None or self.status is not None:
            self._check_open()
        if message is None:
            raise TypeError("a message cannot be None")
        if self.message is not NOTHING:
            raise grpc.aio.InternalError("One write at a time: another is under way.")
        self.message = message
        if self.initial_metadata is None:
            self.initial_metadata = ()
        if self.task is not None and self.task.is_current():
            await hand_over()
        else:
            await self._hand_over_from_another_task(message)

    async def send_initial_metadata(self, initial_metadata: Any) -> None:
        """Sends it ahead of the first message. Raises UsageError if it has been sent already."""
        if self.aborted is not None or self.status is not None:
            self._check_open()
        if self.initial_metadata is not None:
            raise grpc.aio.UsageError("Send initial metadata failed: already sent")
        self.initial_metadata = received(initial_metadata)
        if self.ahead and self.task is not None and self.task.is_current():
            await hand_over()
        else:
            self.offer()

    async def abort(
        self, code: grpc.StatusCode, details: str = "", trailing_metadata: Any = ()
    ) -> Never:
        """Ends the call with this status at once, and the handler by raising AbortError."""
        if self.aborted is not None:
            raise grpc.aio.UsageError("Abort already called!")
        if not isinstance(trailing_metadata, tuple):
            raise TypeError(f"trailing metadata is a tuple, not {type(trailing_metadata).__name__}")
        self.aborted = grpc.aio.AbortError("Locally aborted.")
        self._code = grpc.StatusCode.UNKNOWN if code is OK else code
        self._details = details or self._details
        self._trailing_metadata = trailing_metadata or self._trailing_metadata
        if self.status is None:
            self.end(self.final_status())
        raise self.aborted

    async def abort_with_status(self, status: grpc.Status) -> Never:
        """Aborts with the parts of `status`."""
        await self.abort(status.code, status.details, status.trailing_metadata)

    def final_status(self) -> Status:
        """What the handler has set, as the caller gets it."""
        try:
            trailing_metadata = received(self._trailing_metadata)
        except (TypeError, grpc.aio.InternalError):
            return Status(grpc.StatusCode.INTERNAL, "Invalid metadata")
        return Status(self._code or OK, self._details, trailing_metadata)

    def set_trailing_metadata(self, trailing_metadata: Any) -> None:
        """Sets what is sent with the status. Raises TypeError for what is no metadata."""
        if isinstance(trailing_metadata, dict):
            raise TypeError("trailing metadata is a sequence of pairs, not a dict")
        entries = tuple(trailing_metadata)
        for entry in entries:
            match entry:
                case (key, value) if isinstance(key, str) and isinstance(value, (bytes, str)):
                    continue
            raise TypeError(f"trailing metadata holds pairs of text and value, not {entry!r}")
        self._trailing_metadata = entries

    def trailing_metadata(self) -> Any:
        """What has been set so far."""
        return self._trailing_metadata

    def invocation_metadata(self) -> Entries:  # type: ignore[override] # a tuple, as grpc.aio gives
        """What the caller sent, as (key, value) tuples."""
        return self.metadata

    def set_code(self, code: grpc.StatusCode) -> None:
        """Sets the code with which the call will end."""
        self._code = code

    def code(self) -> Any:
        """The code set so far, or None."""
        return self._code

    def set_details(self, details: str) -> None:
        """Sets the text that goes with the code."""
        self._details = details

    def details(self) -> str:
        """The text set so far."""
        return self._details

    def add_done_callback(self, callback: Callable[[Any], object]) -> None:
        """Has `callback(context)` called when the handler has ended."""
        if self._callbacks is None:
            self._callbacks = []
        self._callbacks.append(callback)

    def done(self) -> bool:
        """Whether the call has ended."""
        return self.status is not None

    def cancelled(self) -> bool:
        """Whether the call has ended, or is going to, with the code CANCELLED."""
        status = self.status
        return (self._code if status is None else status.code) is grpc.StatusCode.CANCELLED

    async def read(self) -> Any:
        """Always EOF: the one request is an argument of the handler."""
        return grpc.aio.EOF

    def set_compression(self, compression: grpc.Compression) -> None:
        """No effect: nothing is serialized."""

    def disable_next_message_compression(self) -> None:
        """No effect: nothing is serialized."""

    def peer(self) -> str:
        """The caller's address, if it has one."""
        return self.address

    def peer_identities(self) -> Iterable[bytes] | None:
        """None: the caller is not authenticated by the channel."""
        return None

    def peer_identity_key(self) -> str | None:
        """None: the caller is not authenticated by the channel."""
        return None

    def auth_context(self) -> dict[str, Iterable[bytes]]:
        """Empty: the caller is not authenticated by the channel."""
        return {}

    def _check_open(self) -> None:
        if self.aborted is not None:
            raise self.aborted
        if self.status is not None:
            raise grpc.aio.InternalError("The call has ended.")

    async def _hand_over_from_another_task(self, message: Any) -> None:
        self.taken = self.loop.create_future()
        self.offer()
        try:
            await self.taken
        finally:
            self.taken = None
            if self.message is message:  # cancelled before anybody came for it
                self.message = NOTHING
