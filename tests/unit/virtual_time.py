"""An event loop whose clock jumps: a timer fires as soon as nothing else is left to do.

For code that waits for nobody outside of the loop: both ends of a socket have to be in it. A test
of an hour takes milliseconds, and never depends on the machine.
"""

from __future__ import annotations

import asyncio
import functools
from collections.abc import Callable, Coroutine
from typing import Any, ParamSpec, TypeVar

T = TypeVar("T")
P = ParamSpec("P")


class VirtualTimeLoop(asyncio.SelectorEventLoop):
    """Instead of waiting for the next timer, move the clock to it."""

    def __init__(self) -> None:
        super().__init__()
        self._now = 0.0
        self._real_select = self._selector.select
        self._selector.select = self._select

    def time(self) -> float:
        return self._now

    def run_in_executor(self, executor: Any, func: Callable[..., Any], *args: Any) -> Any:
        """Do at once what the loop's own threads would do: the clock must not run ahead of them."""
        if executor is not None:
            return super().run_in_executor(executor, func, *args)
        done = self.create_future()
        try:
            done.set_result(func(*args))
        except Exception as error:  # it is the caller's, as from a thread
            done.set_exception(error)
        return done

    def _select(self, timeout: float | None) -> Any:
        ready = self._real_select(0)
        if ready:
            return ready
        if timeout is None:
            raise AssertionError("nothing is left to do, and no timer is set: a deadlock")
        self._now += max(0.0, timeout)
        return ready

    def timers(self) -> list[float]:
        """Return when the timers fire that are set."""
        return sorted(it.when() for it in self._scheduled if not it.cancelled())


def run(main: Coroutine[Any, Any, T]) -> T:
    """Run a coroutine in virtual time."""
    with asyncio.Runner(loop_factory=VirtualTimeLoop) as runner:
        return runner.run(main)


def in_virtual_time(test: Callable[P, Coroutine[Any, Any, None]]) -> Callable[P, None]:
    """Run an async test on a clock that jumps. Its fixtures must not be async."""

    @functools.wraps(test)
    def main(*args: P.args, **fixtures: P.kwargs) -> None:
        run(test(*args, **fixtures))

    return main


def now() -> float:
    """Return the seconds that have passed since the test began."""
    return asyncio.get_running_loop().time()


def timers() -> list[float]:
    """Return when the timers fire that are set."""
    loop = asyncio.get_running_loop()
    assert isinstance(loop, VirtualTimeLoop)
    return loop.timers()
