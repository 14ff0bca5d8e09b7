"""Hedging: when the first attempt is slower than usual, a second runs beside it; first wins.

Each attempt runs in a task of its own, for a call of its own. The loser is cancelled at once.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from typing import Any, Generic, TypeVar

from service.errors import FaultKind, ProviderFault, TotalLimitExceeded
from service.providers.call import Call
from service.routing.attempt import Attempt

T = TypeVar("T")


class Race(Generic[T]):
    """Runs attempts until one has answered. `drop` closes an answer that came too late."""

    def __init__(self, call: Call, drop: Callable[[T], None]) -> None:
        self._call = call
        self._drop = drop
        self._runners: dict[asyncio.Task[T], Attempt] = {}
        self._forks: dict[asyncio.Task[T], Call] = {}
        self.faults: list[tuple[Attempt, ProviderFault]] = []

    def start(self, attempt: Attempt, fork: Call, answer: Coroutine[Any, Any, T]) -> None:
        """Start one more attempt; `fork` is the call it runs for."""
        task = asyncio.get_running_loop().create_task(answer)
        self._runners[task] = attempt
        self._forks[task] = fork

    async def first(self, seconds: float | None) -> tuple[Attempt, T] | None:
        """Return the first answer; None when `seconds` have passed, or all attempts failed.

        Raises what ends the call.
        """
        while self._runners:
            with self._call.wait:
                done, _ = await asyncio.wait(
                    self._runners, timeout=seconds, return_when=asyncio.FIRST_COMPLETED
                )
            if not done:
                return None
            for task in done:
                attempt, fork = self._runners.pop(task), self._forks.pop(task)
                try:
                    answer = task.result()
                except ProviderFault as fault:
                    self.faults.append((attempt, fault))
                    if fault.kind is FaultKind.REJECTED:
                        return None  # whoever else is asked would refuse it too
                    continue
                except TotalLimitExceeded as error:
                    if not self._runners:
                        raise
                    # That one took all its time: the other may still have an answer.
                    self.faults.append((attempt, ProviderFault(FaultKind.SLOW, error.message)))
                    continue
                self._call.join(fork)
                return attempt, answer
        return None

    @property
    def undecided(self) -> bool:
        """Whether an attempt is still going on whose answer would count."""
        refused = any(fault.kind is FaultKind.REJECTED for _, fault in self.faults)
        return bool(self._runners) and not refused

    def break_off(self, error: BaseException) -> None:
        """The call is over: nobody has lost by being slower."""
        for attempt in self._runners.values():
            attempt.break_off(error)

    def end(self) -> None:
        """Cancel what is still running; an answer that came in the same moment is dropped."""
        for task, attempt in self._runners.items():
            attempt.lose()
            task.add_done_callback(self._late)
            task.cancel()
        self._runners.clear()
        self._forks.clear()

    def _late(self, task: asyncio.Task[T]) -> None:
        if not task.cancelled() and task.exception() is None:
            self._drop(task.result())
