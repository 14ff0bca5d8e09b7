"""What a scripted provider is told to do: an answer in pieces, and steps between them."""

from __future__ import annotations

import asyncio
import contextlib
import json
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from enum import Enum
from typing import Any, Protocol

from conformance.upstream.signals import Signal


class Exchange(Protocol):
    """What a step can do to the answer that is being sent."""

    async def send(self, data: bytes) -> None:
        """Write, and wait while the peer does not read."""

    def close(self, linger: int | None = None) -> None:
        """End the connection: with what is still to be sent, or at once by RST (`linger=0`)."""


Step = Callable[[Exchange], Awaitable[None]]
Piece = bytes | Step


class Framing(Enum):
    """How the end of an answer's body is told."""

    CHUNKED = "chunked"  # each piece is one HTTP chunk
    LENGTH = "length"  # content-length, the sum of the pieces
    CLOSE = "close"  # the end of the connection
    RAW = "raw"  # nothing is added: the pieces are all there is, head included


@dataclass(frozen=True)
class Request:
    """What the provider was asked. Header names are in lower case."""

    method: str
    path: str
    headers: Mapping[str, str]
    body: bytes

    @property
    def json(self) -> Any:
        """The body. Raises ValueError."""
        return json.loads(self.body)

    @property
    def model(self) -> str:
        """The model's name in the body; empty where there is none."""
        with contextlib.suppress(ValueError, TypeError, KeyError):
            return str(self.json["model"])
        return ""

    @property
    def streamed(self) -> bool:
        """Whether a stream was asked for."""
        return self.json.get("stream") is True


@dataclass(frozen=True)
class Script:
    """One answer: `before` runs ahead of the first byte, then head and pieces are sent in order."""

    pieces: Sequence[Piece] = ()
    status: int = 200
    headers: Mapping[str, str] = field(default_factory=dict)
    framing: Framing = Framing.CHUNKED
    before: Sequence[Step] = ()


Plan = Script | Callable[[Request], Script]


async def cut(exchange: Exchange) -> None:
    """Close the connection (FIN) after what was sent, wherever that is."""
    exchange.close()


async def reset(exchange: Exchange) -> None:
    """Reset the connection (RST)."""
    exchange.close(linger=0)


async def stall(_: Exchange) -> None:
    """Send nothing more, until the peer leaves."""
    await asyncio.Event().wait()


def hold(signal: Signal) -> Step:
    """Send nothing more until `signal` is set."""

    async def step(_: Exchange) -> None:
        await signal.wait(timeout=60)

    return step


def pause(seconds: float) -> Step:
    """Wait for `seconds`; for tests whose subject is time."""

    async def step(_: Exchange) -> None:
        await asyncio.sleep(seconds)

    return step


def drip(*pieces: Piece) -> list[Piece]:
    """The same bytes one at a time, each in a chunk of its own."""
    one_by_one: list[Piece] = []
    for piece in pieces:
        one_by_one += [bytes([byte]) for byte in piece] if isinstance(piece, bytes) else [piece]
    return one_by_one


def raw(*pieces: Piece) -> Script:
    """An answer that is these bytes, be they HTTP or not, and then the end of the connection."""
    return Script([*pieces, cut], framing=Framing.RAW)
