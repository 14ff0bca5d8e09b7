"""The server's end of one stream: runs the calls that come over it."""

from __future__ import annotations

import asyncio
from typing import Any

import grpc
from llmbase.relay.v1.relay_pb2 import (
    CallerFrame,
    Drain,
    Open,
    RelayResponse,
    Welcome,
    WholeRequest,
)

from channel.in_process import InProcessServer
from relay.frames import LARGEST_REQUEST
from relay.outbox import Outbox
from relay.served_call import ServedCall


class Violation(Exception):
    """What came is no frame that may come here."""


class ServerSession:
    """One stream's calls. `largest_message`, in bytes, is what a request or an answer may have."""

    def __init__(self, servicers: InProcessServer, largest_message: int) -> None:
        self._servicers = servicers
        self._largest_message = largest_message
        self._loop = asyncio.get_running_loop()
        self._outbox = Outbox(RelayResponse, self._look_again)
        self._calls: dict[int, ServedCall] = {}
        self._due: list[ServedCall] = []  # which what is being read has opened, or completed
        self._last = 0
        self._half_closed = False
        self._peer = ""

    @property
    def calls(self) -> int:
        """How many calls are open."""
        return len(self._calls)

    async def run(self, context: Any) -> None:
        """Carries calls until the caller has half-closed the stream and all have ended.

        Afterwards, also when it is cancelled, no call is left. Raises Violation.
        """
        self._peer = context.peer()
        takes = Welcome(
            largest_request=LARGEST_REQUEST,
            largest_in_parts=self._largest_message,
            whole_requests=True,
        )
        self._outbox.put(welcome=takes)
        if self._servicers.stopping:
            self.drain()
        reading = self._loop.create_task(self._read(context))
        reading.add_done_callback(self._read_all)
        try:
            await self._outbox.run(context.write)
        finally:
            self._outbox.close()
            reading.cancel()
            for call in tuple(self._calls.values()):
                call.leave()
        if reading.done() and not reading.cancelled():
            reading.result()

    def drain(self) -> None:
        """Tells the caller to open no more calls, and to half-close when the last has ended."""
        self._outbox.put(drain=Drain())

    def close(self) -> None:
        """Ends the stream as soon as what is said has left."""
        self._outbox.close()

    async def _read(self, context: Any) -> None:
        while (request := await context.read()) is not grpc.aio.EOF:
            for frame in request.frames:
                self._receive(frame)
            self._look_at_due()

    def _look_at_due(self) -> None:
        """Starts handlers, after all has been read: it may have cancelled some of the calls."""
        due, self._due = self._due, []
        for call in due:
            call.look()

    def _read_all(self, reading: asyncio.Task[None]) -> None:
        self._half_closed = True
        if not self._calls or reading.cancelled() or reading.exception() is not None:
            self._outbox.close()

    def _receive(self, frame: CallerFrame) -> None:
        kind = frame.WhichOneof("kind")
        if kind == "whole_request":
            self._open(frame.call, frame.whole_request)
            return
        if kind == "open":
            self._open(frame.call, frame.open)
            return
        call = self._calls.get(frame.call)
        if call is None:
            if not 0 < frame.call <= self._last:
                raise Violation(f"call {frame.call} has not been opened")
        elif kind == "message":
            call.request(frame.message)
        elif kind == "part":
            call.request_part(frame.part)
        elif kind == "half_close":
            call.half_close()
            self._due.append(call)
        elif kind == "credit":
            call.give(frame.credit)
        elif kind == "cancel":
            call.leave()

    def _open(self, number: int, opened: Open | WholeRequest) -> None:
        if number <= self._last:
            raise Violation(f"call {number} is opened after {self._last}")
        try:
            call = ServedCall(
                number,
                opened,
                self._servicers,
                self._outbox,
                self._peer,
                self._largest_message,
                self._hear_end,
            )
        except (TypeError, ValueError, grpc.aio.InternalError) as error:
            raise Violation(f"metadata of call {number}: {error}") from None
        self._last = number
        self._calls[number] = call
        self._due.append(call)

    def _look_again(self) -> None:
        for call in tuple(self._calls.values()):
            call.look()

    def _hear_end(self, number: int) -> None:
        del self._calls[number]
        if self._half_closed and not self._calls:
            self._outbox.close()
