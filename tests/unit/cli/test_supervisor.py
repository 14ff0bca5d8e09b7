"""When a worker that has ended, or hangs, is started again, in virtual time."""

from __future__ import annotations

import asyncio
import signal
from typing import Any

import pytest

from cli.workers import heart, supervisor
from cli.workers.supervisor import Supervisor
from cli.workers.worker import Worker
from tests.unit.virtual_time import in_virtual_time, now


class _Crew:
    def next(self, number: int) -> Worker:
        return Worker(number)

    def ended(self, worker: Worker) -> None:
        pass


class _Child:
    """A worker that is ready at once, and lives until it is told to end, or for a while.

    Its heart beats for so many seconds. `sent` are the signals that it got, and when.
    """

    pid, is_ready, line = 1, True, "ready"

    def __init__(self, lives: float, beats: float) -> None:
        self._end = asyncio.Event()
        self._stops = now() + beats
        self.sent: list[tuple[float, signal.Signals]] = []
        asyncio.get_running_loop().call_later(lives, self._end.set)
        self._beat()

    @property
    def runs(self) -> bool:
        return not self._end.is_set()

    async def ready(self) -> bool:
        return True

    async def ended(self) -> int:
        await self._end.wait()
        return 0

    def send(self, number: signal.Signals) -> None:
        self.sent.append((now(), number))
        self._end.set()

    def _beat(self) -> None:
        self.silent = 0
        if now() < self._stops:
            asyncio.get_running_loop().call_later(0.5, self._beat)


class _Children:
    """Stands in for the class of children; `born` says when each was started."""

    def __init__(self, lives: list[float], beats: list[float] | None = None) -> None:
        self._lives = list(lives)
        self._beats = list(beats or [])
        self.born: list[float] = []
        self.all: list[_Child] = []

    async def start(self, *_: Any) -> _Child:
        self.born.append(now())
        lives = self._lives.pop(0) if self._lives else 10**6
        self.all.append(_Child(lives, self._beats.pop(0) if self._beats else 10**6))
        return self.all[-1]


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


@in_virtual_time
async def test_a_worker_is_killed_when_it_has_been_silent_for_half_a_minute(monkeypatch):
    children = _Children([], [100.0])
    monkeypatch.setattr(supervisor, "Child", children)
    parent = Supervisor(1, _Crew(), (), lambda line: None)
    running = asyncio.create_task(parent.run())
    await asyncio.sleep(1000)
    hung, second = children.all
    ((at, number),) = hung.sent
    assert number is signal.SIGKILL
    assert 29 <= at - 100 <= 31
    assert second.sent == []
    parent._end()
    await running


@in_virtual_time
async def test_the_heart_of_a_worker_beats_each_second(monkeypatch):
    beats = []
    monkeypatch.setattr(heart.os, "set_blocking", lambda descriptor, blocking: None)
    monkeypatch.setattr(heart.os, "write", lambda descriptor, data: beats.append((now(), data)))
    began = now()
    Worker(0, 2).begin(asyncio.get_running_loop())
    Worker(0, 1).begin(asyncio.get_running_loop())  # who is alone has nobody to show it
    await asyncio.sleep(2.5)
    assert [(round(at - began, 6), data) for at, data in beats] == [
        (0, b"alive\n"),
        (1, b"alive\n"),
        (2, b"alive\n"),
    ]
