"""Listeners behind which there is nobody, and what a process's connections with them are like."""

from __future__ import annotations

import contextlib
import socket
from collections.abc import Iterator
from dataclasses import dataclass

import psutil  # type: ignore[import-untyped]


@dataclass(frozen=True)
class Nobody:
    """Ports at which nobody answers."""

    hole: int  # no connection comes about
    deaf: int  # connections come about, but nobody looks at them


@contextlib.contextmanager
def nobody() -> Iterator[Nobody]:
    """Listen at such ports for as long as the context is open."""
    hole, deaf, filling = socket.socket(), socket.socket(), socket.socket()
    with hole, deaf, filling:
        hole.bind(("127.0.0.1", 0))
        hole.listen(0)
        filling.connect(hole.getsockname())  # the queue is full now: the kernel drops what comes
        deaf.bind(("127.0.0.1", 0))
        deaf.listen(64)
        yield Nobody(hole.getsockname()[1], deaf.getsockname()[1])


def states(pid: int, port: int) -> list[str]:
    """The states of a process's TCP connections with that port, as psutil names them."""
    found = psutil.Process(pid).net_connections("tcp")
    return [it.status for it in found if it.raddr and it.raddr.port == port]
