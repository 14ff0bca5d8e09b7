"""The scripted provider: a process that speaks OpenAI's wire format from raw protocols on uvloop.

It is told by the question itself how long the answer is and how it is paced, so it holds no state
beyond its connections. `python -m tests.bench.provider` prints its port.
"""

from __future__ import annotations

import asyncio
import os
import socket
from collections.abc import Callable
from typing import cast

import uvloop

from tests.bench.provider_wire import REFUSAL, Frames, whole
from tests.bench.questions import PROVIDER_KEY, UPSTREAM_MODEL, Question, asked_in

_ASKED_FOR_STREAM = (b'"stream":true', b'"stream": true')
_MORE_HANDLES = 15
_MODEL = UPSTREAM_MODEL.encode()
_AUTHORIZATION = b"authorization: bearer " + PROVIDER_KEY.encode()


class Metronome:
    """Calls back at about the time, all of a millisecond by one timer: there are many at a time."""

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self._loop = loop
        self._due: dict[int, list[Callable[[], None]]] = {}

    def call_at(self, when: float, callback: Callable[[], None]) -> None:
        """Call back at `when`, in the loop's time, or up to a millisecond later."""
        beat = int(when * 1000) + 1
        due = self._due.get(beat)
        if due is None:
            due = self._due[beat] = []
            self._loop.call_at(beat / 1000, self._beat, beat)
        due.append(callback)

    def _beat(self, beat: int) -> None:
        for callback in self._due.pop(beat):
            callback()


class Connection(asyncio.Protocol):
    """One connection, one request at a time."""

    def __init__(self, loop: asyncio.AbstractEventLoop, metronome: Metronome) -> None:
        self._loop = loop
        self._metronome = metronome
        self._received = bytearray()
        self._awaited = 0  # bytes of the request that is coming in; 0: its length is not known
        self._head = b""
        self._paused = False
        self._timer: asyncio.TimerHandle | None = None
        self._frames: Frames | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)

    def connection_lost(self, exc: Exception | None) -> None:
        self._frames = None
        if self._timer is not None:
            self._timer.cancel()

    def data_received(self, data: bytes) -> None:
        received = self._received
        received += data
        if not self._awaited:
            end = received.find(b"\r\n\r\n")
            if end < 0:
                return
            self._head = bytes(received[: end + 2]).lower()
            _, _, after = self._head.partition(b"content-length:")
            self._awaited = end + 4 + int(after.partition(b"\r\n")[0] or b"0")
        if len(received) >= self._awaited:
            body = bytes(received)
            self._received = bytearray()
            self._awaited = 0
            self._answer(body)

    def pause_writing(self) -> None:
        self._paused = True

    def resume_writing(self) -> None:
        self._paused = False
        self._send_due()

    def _answer(self, request: bytes) -> None:
        question = asked_in(request)
        # What is not as it was to be sent on has been spoilt on the way.
        if question is None or _AUTHORIZATION not in self._head or _MODEL not in request:
            self._transport.write(REFUSAL)
        elif any(word in request for word in _ASKED_FOR_STREAM):
            self._begin(question)
        elif question.delay:
            self._timer = self._loop.call_later(question.delay / 1000, self._whole, question)
        else:
            self._whole(question)

    def _whole(self, question: Question) -> None:
        self._transport.write(whole(question))

    def _begin(self, question: Question) -> None:
        self._question = question
        self._frames = Frames(question)
        self._sent = 0
        self._began = self._loop.time()
        self._transport.write(self._frames.first())
        self._send_due()

    def _send_due(self) -> None:
        """Send the pieces whose time has come, as long as the reader takes them."""
        frames, question = self._frames, self._question
        if frames is None or self._paused:
            return
        due = question.chunks
        if question.delay:
            due = min(due, 1 + int((self._loop.time() - self._began) * 1000 / question.delay + 0.1))
        while self._sent < due and not self._paused:
            self._transport.write(frames.piece(self._sent))
            self._sent += 1
        if self._paused:
            return  # resume_writing goes on
        if self._sent == question.chunks:
            self._frames = None
            self._transport.write(frames.last())
        else:
            at = self._began + self._sent * question.delay / 1000
            self._metronome.call_at(at, self._send_due)


async def _serve() -> None:
    loop = asyncio.get_running_loop()
    metronome = Metronome(loop)

    def made() -> Connection:
        return Connection(loop, metronome)

    server = await loop.create_server(made, "127.0.0.1", 0, backlog=4096)
    # One handle that listens accepts one connection in a turn of the loop: that would be a queue.
    for _ in range(_MORE_HANDLES):
        again = socket.socket(fileno=os.dup(server.sockets[0].fileno()))
        await loop.create_server(made, sock=again, backlog=4096)
    print(f"ready {server.sockets[0].getsockname()[1]}", flush=True)
    await server.serve_forever()


if __name__ == "__main__":
    uvloop.run(_serve())
