"""When a worker that has ended is started again, in virtual time."""

from __future__ import annotations

import asyncio
import signal
from typing import Any

import pytest

from cli.workers import supervisor
from cli.workers.supervisor import Supervisor
from cli.workers.worker import Worker
from tests.unit.virtual_time import in_virtual_time, now


class _Crew:
    def next(self, number: int) -> Worker:
        return Worker(number)

    def ended(self, worker: Worker) -> None:
        pass


class _Child:
    """A worker that is ready at once, and lives until it is told to end, or for a while."""

    pid, is_ready, line = 1, True, "ready"

    def __init__(self, lives: float) -> None:
        self._end = asyncio.Event()
        asyncio.get_running_loop().call_later(lives, self._end.set)

    async def ready(self) -> bool:
        return True

    async def ended(self) -> int:
        await self._end.wait()
        return 0

    def send(self, number: signal.Signals) -> None:
        self._end.set()


class _Children:
    """Stands in for the class of children; `born` says when each was started."""

    def __init__(self, lives: list[float]) -> None:
        self._lives = list(lives)
        self.born: list[float] = []

    async def start(self, *_: Any) -> _Child:
        self.born.append(now())
        return _Child(self._lives.pop(0) if self._lives else 10**6)


async def pauses(monkeypatch: pytest.MonkeyPatch, lives: list[float]) -> list[float]:
    """Let one worker live for so long each time; return how long after each end the next began."""
    children = _Children(lives)
    monkeypatch.setattr(supervisor, "Child", children)
    parent = Supervisor(1, _Crew(), (), lambda line: None)
    running = asyncio.create_task(parent.run())
    await asyncio.sleep(1000)
    parent._end()
    assert await running == 0
    ends = [born + life for born, life in zip(children.born, lives, strict=False)]
    return [round(b - a, 6) for a, b in zip(ends, children.born[1:], strict=True)]


@in_virtual_time
async def test_a_worker_that_keeps_ending_is_started_less_and_less_often(monkeypatch):
    found = await pauses(monkeypatch, [9.0] * 8)
    assert found == [0.2, 0.4, 0.8, 1.6, 3.2, 5, 5, 5]


@in_virtual_time
async def test_one_that_has_lived_for_more_than_ten_seconds_is_started_again_soon(monkeypatch):
    found = await pauses(monkeypatch, [1.0, 1.0, 10.5, 1.0])
    assert found == [0.2, 0.4, 0.1, 0.2]


@in_virtual_time
async def test_a_pause_ends_when_all_are_to_end(monkeypatch):
    monkeypatch.setattr(supervisor, "Child", _Children([1.0] * 100))
    parent = Supervisor(1, _Crew(), (), lambda line: None)
    running = asyncio.create_task(parent.run())
    await asyncio.sleep(100)
    began = now()
    parent._end()
    await running
    assert now() == began
