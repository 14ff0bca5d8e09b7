"""When an engine that ends is started again, and how long one is waited for: in virtual time."""

from __future__ import annotations

import asyncio
import logging
import signal
from typing import Any

import pytest

from service.providers import embedded, engine_process
from service.providers.embedded import EmbeddedEngine
from service.providers.embedded_engine import EngineOptions
from service.providers.engine_process import EngineError, EngineProcess
from tests.unit.virtual_time import in_virtual_time, now

FOREVER = 10**6  # seconds


class _Child:
    """A process that is ready after some seconds and lives for some; asked to end, it may not."""

    def __init__(self, ready: float, lives: float, obeys_after: float) -> None:
        self.returncode: int | None = None
        self.signals: list[tuple[float, signal.Signals]] = []
        self.stdout, self.stderr = asyncio.StreamReader(), asyncio.StreamReader()
        self._obeys_after = obeys_after
        self._ended = asyncio.Event()
        loop = asyncio.get_running_loop()
        loop.call_later(ready, self.stdout.feed_data, b"ready\n")
        loop.call_later(lives, self._end, 1)

    def terminate(self) -> None:
        if self.returncode is None:
            self.signals.append((now(), signal.SIGTERM))
            asyncio.get_running_loop().call_later(self._obeys_after, self._end, -signal.SIGTERM)

    def kill(self) -> None:
        self.signals.append((now(), signal.SIGKILL))
        self._end(-signal.SIGKILL)

    async def wait(self) -> int:
        await self._ended.wait()
        assert self.returncode is not None
        return self.returncode

    def _end(self, code: int) -> None:
        if self.returncode is None:
            self.returncode = code
            self.stdout.feed_eof()
            self.stderr.feed_eof()
            self._ended.set()


class _Children:
    """Starts processes that live as long as `lives` says in turn; `born` says when each was."""

    def __init__(self) -> None:
        self.lives: list[float] = []
        self.ready = 0.0
        self.obeys_after = 0.0
        self.born: list[float] = []
        self.last: _Child

    async def start(self, *_: object, **__: object) -> _Child:
        self.born.append(now())
        life = self.lives.pop(0) if self.lives else FOREVER
        self.last = _Child(self.ready, life, self.obeys_after)
        return self.last


@pytest.fixture
def children(monkeypatch: pytest.MonkeyPatch) -> _Children:
    made = _Children()
    monkeypatch.setattr(engine_process.subprocess, "create_subprocess_exec", made.start)
    monkeypatch.setattr(embedded, "require_engine", lambda: None)
    return made


def options() -> EngineOptions:
    return EngineOptions("model.gguf", "socket", 1, 1, 1, 1)


async def running_for(seconds: float, tmp_path: Any, **limits: float) -> None:
    """Let an engine run, and stop it."""
    model = tmp_path / "model.gguf"
    model.touch()
    engine = EmbeddedEngine(model, models_dir=tmp_path, **limits)
    await engine.start()
    await asyncio.sleep(seconds)
    await engine.stop()


def pauses(children: _Children, lives: list[float]) -> list[float]:
    """Return how long after the end of each process the next one was begun."""
    ends = [born + life for born, life in zip(children.born, lives, strict=False)]
    return [round(a - b, 6) for a, b in zip(children.born[1:], ends, strict=False)]


@in_virtual_time
async def test_an_engine_that_keeps_dying_is_started_less_and_less_often(children, tmp_path):
    lives = [1.0] * 13
    children.lives = list(lives)
    await running_for(300, tmp_path)
    assert pauses(children, lives) == [0.1, 0.2, 0.4, 0.8, 1.6, 3.2, 6.4, 12.8, 25.6] + [30] * 4


@in_virtual_time
async def test_one_that_has_lived_for_a_minute_is_started_again_at_once(children, tmp_path):
    lives = [1.0, 1.0, 59.9, 60.0, 1.0]
    children.lives = list(lives)
    await running_for(300, tmp_path)
    assert pauses(children, lives) == [0.1, 0.2, 0.4, 0.1, 0.2]


@in_virtual_time
async def test_one_that_cannot_be_started_again_is_tried_later_and_said(children, tmp_path, caplog):
    caplog.set_level(logging.WARNING, "llmbase.embedded")
    children.lives = [1.0]
    asyncio.get_running_loop().call_later(0.5, setattr, children, "ready", FOREVER)
    await running_for(25, tmp_path, start_timeout=10.0)
    assert children.born == pytest.approx([0, 1.1, 11.3, 21.7])
    assert [it.reason for it in caplog.records] == [
        "exit code 1",
        "the model is not loaded after 10 s",
        "the model is not loaded after 10 s",
    ]


@in_virtual_time
async def test_a_model_has_two_minutes_to_load(children, tmp_path):
    children.ready = 119
    await running_for(1, tmp_path)
    assert now() == 120
    children.ready = 121
    with pytest.raises(EngineError, match="not loaded after 120 s"):
        await running_for(1, tmp_path)
    assert now() == 240
    assert children.last.signals == [(240, signal.SIGTERM)]


@pytest.mark.parametrize(
    ("obeys_after", "signals"),
    [(1.5, [(5, signal.SIGTERM)]), (FOREVER, [(5, signal.SIGTERM), (7, signal.SIGKILL)])],
)
@in_virtual_time
async def test_a_process_has_two_seconds_to_end_when_it_is_asked_to(children, obeys_after, signals):
    children.obeys_after = obeys_after
    process = await EngineProcess.start(options(), 10)
    await asyncio.sleep(5)
    await process.stop()
    assert now() == 5 + min(obeys_after, 2)
    assert children.last.signals == signals
