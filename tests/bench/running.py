"""Runs scenarios round by round, every subject in turn: so they share the noise."""

from __future__ import annotations

import asyncio
import contextlib
import sys
import time
from collections.abc import Mapping
from pathlib import Path

import uvloop

from tests.bench.load import ask, question
from tests.bench.scenarios import Scenario
from tests.bench.subjects import Running, Start, module, process, ready_port
from tests.bench.target import Figures, Target
from tests.bench.wire import WrongAnswer

Results = dict[str, dict[str, Figures]]  # by scenario and subject

_STARTS = 60.0  # seconds until a subject has answered
_SETTLES = 20.0  # seconds at most
_QUIET = 15.0  # CPU-ms in a tenth of a second: one tick of the kernel's clock is 10
_BIG_IS_GOOD = ("_per_s", "share_delivered")


class Bench:
    """The provider, the subjects, and what has been measured. `results` grows as it runs."""

    def __init__(self, starts: Mapping[str, Start], directory: Path, *, quick: bool) -> None:
        self._starts = starts
        self._directory = directory
        self._quick = quick
        self._left = contextlib.ExitStack()
        self._processes: dict[str, contextlib.ExitStack] = {}
        self.provider_port = 0
        self.subjects: dict[str, Running] = {}
        self.results: Results = {}
        self.failures: list[str] = []

    def __enter__(self) -> Bench:
        provider = process(module("provider"), self._directory / "provider")
        with contextlib.ExitStack() as stack:
            self.provider_port = ready_port(*stack.enter_context(provider))
            for name in self._starts:
                self._processes[name] = stack.enter_context(contextlib.ExitStack())
                self._start(name)
            self._left = stack.pop_all()
        return self

    def __exit__(self, *_: object) -> None:
        self._left.close()

    def start_anew(self, *subjects: str) -> None:
        """Go on with other processes of these: two of one program can differ by a tenth."""
        for name in subjects:
            self._processes[name].close()
            self._start(name)

    def run(self, name: str, scenario: Scenario, rounds: int, only: tuple[str, ...] = ()) -> None:
        """Measure every subject so many times. A wrong answer takes its subject out."""
        for _ in range(min(rounds, scenario.most_rounds)):
            for subject, running in self.subjects.items():
                if only and subject not in only:
                    continue
                target = Target(subject, running.door, running.meter, self._quick)
                _settle(running)
                try:
                    self._keep(name, subject, uvloop.run(scenario.run(target)))
                except* (WrongAnswer, TimeoutError, OSError) as group:
                    self.failures.append(f"{name}: {subject}: {group.exceptions[0]!r}")
                    print(self.failures[-1], file=sys.stderr)

    def _start(self, name: str) -> None:
        start, at = self._starts[name], self._directory / name.replace(" ", "-")
        began = time.perf_counter()
        running = self._processes[name].enter_context(start(self.provider_port, at))
        uvloop.run(first_answer(running))
        self._keep("cold start", name, {"ms": 1000 * (time.perf_counter() - began)})
        self.subjects[name] = running

    def _keep(self, scenario: str, subject: str, figures: Figures) -> None:
        """Keep the best of all rounds: what others do on the machine only ever adds."""
        best = self.results.setdefault(scenario, {}).setdefault(subject, {})
        for name, value in figures.items():
            better = max if name.endswith(_BIG_IS_GOOD) else min
            best[name] = better(best[name], value) if name in best else value


def _settle(running: Running) -> None:
    """Wait until a subject has nothing left to do: it may still be closing thousands of streams."""
    before = -1.0
    until = time.monotonic() + _SETTLES
    while running.meter is not None and time.monotonic() < until:
        now = running.meter.cpu()
        if now - before < _QUIET and before >= 0:
            return
        before = now
        time.sleep(0.1)


async def first_answer(running: Running) -> None:
    """Return once a subject has answered; it may not listen yet. Raises WrongAnswer, OSError."""
    until = time.monotonic() + _STARTS
    while True:
        try:
            client = await running.door.connect()
            try:
                return await ask(running.door, client, question(), stream=False)
            finally:
                client.leave()
        except (OSError, WrongAnswer):
            if time.monotonic() > until:
                raise
        await asyncio.sleep(0.05)
