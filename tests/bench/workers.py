"""What more workers bring: whole answers from 64 connections, for one worker up to one a core.

    .venv/bin/python -m tests.bench.workers

The load and the provider run on the same cores. So the most that can be had is the cores' time by
what an answer takes of it, theirs included; what is printed last is how much of that was had.
"""

from __future__ import annotations

import os
import tempfile
import time
from functools import partial
from pathlib import Path

import psutil
import uvloop

from tests.bench.running import Bench
from tests.bench.subjects import llmbase
from tests.bench.target import Target, Window, closed_loop, connections, drop

_CONNECTIONS, _WARM, _ANSWERS, _ROUNDS = 64, 500, 6000, 3
_HEAD = ("workers", "answers/s", "CPU-ms each", "with load and provider", "of what the cores allow")


def main() -> None:
    """Print a line for each number of workers: of its rounds, the one with most answers."""
    cores = len(os.sched_getaffinity(0))
    counts = range(1, cores + 1)
    print("  ".join(_HEAD))
    with tempfile.TemporaryDirectory() as directory:
        starts = {str(count): partial(llmbase, workers=count) for count in counts}
        with Bench(starts, Path(directory), quick=False) as bench:
            for name, running in bench.subjects.items():
                target = Target(name, running.door, running.meter, quick=False)
                rate, ours, all_ = max(uvloop.run(_measure(target)) for _ in range(_ROUNDS))
                share = rate * all_ / (1000 * cores)
                cells = (name, f"{rate:.0f}", f"{ours:.2f}", f"{all_:.2f}", f"{share:.0%}")
                print("  ".join(c.rjust(len(h)) for c, h in zip(cells, _HEAD, strict=True)))


async def _measure(target: Target) -> tuple[float, float, float]:
    """Return answers a second, and CPU-ms of an answer: the subject's, and everybody's."""
    clients = await connections(target, _CONNECTIONS)
    await closed_loop(target, clients, _WARM)
    window, others = Window(target), _others(target)
    await closed_loop(target, clients, _ANSWERS)
    figures = window.cost(_ANSWERS, "answer")
    drop(clients)
    ours = figures["cpu_ms_per_answer"]
    return figures["answers_per_s"], ours, ours + (_others(target) - others) / _ANSWERS


def _others(target: Target) -> float:
    """CPU-ms so far of this process, which is the load, and of its children but the subject's."""
    assert target.meter is not None
    subject = {process.pid for process in target.meter.processes()}
    spent = 1000 * time.process_time()
    for child in psutil.Process().children(recursive=True):
        if child.pid not in subject:
            times = child.cpu_times()
            spent += 1000 * (times.user + times.system)
    return spent


if __name__ == "__main__":
    main()
