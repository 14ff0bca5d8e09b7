"""A worker whose loop does not go round is ended, and another one takes its place."""

from __future__ import annotations

import asyncio
import logging
import os
import signal
import sys
from pathlib import Path

import pytest

from cli.workers.supervisor import Supervisor
from cli.workers.worker import VARIABLE, Worker

PERIOD = 0.05
# Says that it is ready, and shows its life; the first one with the number 0 does not. The one with
# the number 1 drains for long.
WORKER = f"""
import json, os, pathlib, signal, sys, time
number = json.loads(os.environ["{VARIABLE}"])["number"]
once = pathlib.Path(sys.argv[1]) / str(number)
hangs = number == 0 and not once.exists()
left = 2000
def drain(*signal):
    global left
    left = 200
if number == 1:
    signal.signal(signal.SIGTERM, drain)
with once.open("a") as file:
    file.write(f"{{os.getpid()}}\\n")
print("ready here", flush=True)
while left := left - 1:
    time.sleep({PERIOD / 4})
    if not hangs:
        print("alive", flush=True)
"""


class Crew:
    def next(self, number: int) -> Worker:
        return Worker(number, 2)

    def ended(self, worker: Worker) -> None:
        pass


async def told(caplog: pytest.LogCaptureFixture, message: str) -> None:
    while True:
        if message in caplog.messages:
            return
        await asyncio.sleep(PERIOD)


def test_a_worker_that_hangs_is_replaced_and_the_other_is_left_alone(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    def begun(number: int) -> list[int]:
        return [int(line) for line in (tmp_path / str(number)).read_text().split()]

    async def main() -> None:
        command = (sys.executable, "-c", WORKER, str(tmp_path))
        running = asyncio.create_task(
            Supervisor(2, Crew(), command, lambda line: None, PERIOD).run()
        )
        async with asyncio.timeout(60):
            await told(caplog, "worker is ready")
        await asyncio.sleep(40 * PERIOD)  # longer than a silent one is let live
        os.kill(os.getpid(), signal.SIGTERM)
        async with asyncio.timeout(60):
            assert await running == 0

    with caplog.at_level(logging.INFO, "llmbase.workers"):
        asyncio.run(main())
    # The one that had ended while the other drained was silent for long as well.
    (hung,) = [it for it in caplog.records if it.message == "worker hangs, ending it"]
    first, second = begun(0)
    assert vars(hung)["worker"] == 0
    assert vars(hung)["pid"] == first != second
    assert len(begun(1)) == 1
