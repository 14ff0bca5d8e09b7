"""An event loop whose clock jumps: a timer fires as soon as nothing else is left to do.

For code without sockets. A test of an hour takes milliseconds, and never depends on the machine.
"""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine
from typing import Any, TypeVar

T = TypeVar("T")


class VirtualTimeLoop(asyncio.SelectorEventLoop):
    """Instead of waiting for the next timer, move the clock to it."""

    def __init__(self) -> None:
        super().__init__()
        self._now = 0.0
        self._real_select = self._selector.select
        self._selector.select = self._select

    def time(self) -> float:
        return self._now

    def _select(self, timeout: float | None) -> Any:
        if timeout is None:
            raise AssertionError("nothing is left to do, and no timer is set: a deadlock")
        self._now += max(0.0, timeout)
        return self._real_select(0)


def run(main: Coroutine[Any, Any, T]) -> T:
    """Run a coroutine in virtual time."""
    with asyncio.Runner(loop_factory=VirtualTimeLoop) as runner:
        return runner.run(main)
