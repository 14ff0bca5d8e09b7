"""The parent of workers: starts them, starts those again that end, passes signals on.

It serves nothing itself and has no gRPC channel; what it does must not fail.
"""

from __future__ import annotations

import asyncio
import logging
import os
import signal
from collections.abc import Callable, Sequence
from typing import Protocol

from cli.workers.child import Child
from cli.workers.heart import PERIOD
from cli.workers.worker import Worker

_LOG = logging.getLogger("llmbase.workers")
_STEADY = 10.0  # seconds that a worker has to live for its end to be a surprise
_FIRST_PAUSE, _LONGEST_PAUSE = 0.1, 5.0  # seconds before one that is no surprise is started again
_SILENT = 30  # periods of its heart without a beat after which a worker hangs


class Crew(Protocol):
    """What is known of the workers, and told of each."""

    def next(self, number: int) -> Worker:
        """Return what the next process with this number is told."""
        ...

    def ended(self, worker: Worker) -> None: ...  # noqa: D102


class Supervisor:
    """Runs `count` workers, each as `command`. `announce` is told the first one's ready line.

    `period` is that of the workers' hearts, in seconds.
    """

    def __init__(
        self,
        count: int,
        crew: Crew,
        command: Sequence[str],
        announce: Callable[[str], None],
        period: float = PERIOD,
    ) -> None:
        self._count = count
        self._crew = crew
        self._told: dict[int, Worker] = {}
        self._command = command
        self._announce = announce
        self._period = period
        self._children: dict[int, Child] = {}
        self._stop = asyncio.Event()
        self._tether, self._held = os.pipe()

    async def run(self) -> int:
        """Run until every worker has ended after a signal; return the exit code.

        A worker that cannot start at first ends all.
        """
        loop = asyncio.get_running_loop()
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, self._end)
        loop.add_signal_handler(signal.SIGHUP, self._pass_on, signal.SIGHUP)
        watching = asyncio.create_task(self._watch())
        try:
            started = await self._start_all()
            if not started:
                self._end()
            elif not self._stop.is_set():
                self._announce(self._children[0].line)
            codes = await asyncio.gather(*(self._keep(number) for number in self._children))
            # One that was told to end before it listened to us is ended by the signal: in order.
            wrong = any(code not in (0, -signal.SIGTERM) for code in codes)
            return int(wrong or not started)
        finally:
            watching.cancel()
            os.close(self._held)
            os.close(self._tether)

    async def _start_all(self) -> bool:
        """Start one first: what is wrong with all of them is then said once."""
        if not await self._start(0):
            return False
        others = range(1, self._count)
        return all(await asyncio.gather(*(self._start(number) for number in others)))

    async def _start(self, number: int) -> bool:
        if self._stop.is_set():
            return True
        told = self._told[number] = self._crew.next(number)
        child = await Child.start(told, self._command, self._tether)
        self._children[number] = child
        if self._stop.is_set():
            child.send(signal.SIGTERM)
        return await child.ready() or self._stop.is_set()

    async def _keep(self, number: int) -> int:
        """Have this worker run until all are to end; return the last exit code."""
        loop, pause = asyncio.get_running_loop(), _FIRST_PAUSE
        while True:
            child, began = self._children[number], loop.time()
            code = await child.ended()
            self._crew.ended(self._told[number])
            if self._stop.is_set():
                return code
            lived = loop.time() - began
            pause = _FIRST_PAUSE if lived > _STEADY else min(pause * 2, _LONGEST_PAUSE)
            told = {"worker": number, "pid": child.pid, "exit_code": code, "lived_s": round(lived)}
            _LOG.error("worker ended, starting another", extra=told)
            if await self._told_within(pause):
                return code
            await self._start_again(number)

    async def _watch(self) -> None:
        """End workers whose loops do not go round: new connections would go on coming to them.

        Turns of our own are counted, no seconds: a machine that was asleep takes none.
        """
        while True:
            await asyncio.sleep(self._period)
            for number, child in self._children.items():
                if not (child.is_ready and child.runs):
                    continue
                child.silent += 1
                if child.silent == _SILENT:
                    told = {"worker": number, "pid": child.pid, "silent_s": _SILENT * self._period}
                    _LOG.error("worker hangs, ending it", extra=told)
                    child.send(signal.SIGKILL)

    async def _start_again(self, number: int) -> None:
        if await self._start(number) and not self._stop.is_set():
            pid = self._children[number].pid
            _LOG.info("worker is ready", extra={"worker": number, "pid": pid})

    async def _told_within(self, seconds: float) -> bool:
        """Wait; return whether all are to end by then."""
        try:
            async with asyncio.timeout(seconds):
                return await self._stop.wait()
        except TimeoutError:
            return False

    def _end(self) -> None:
        self._stop.set()
        self._pass_on(signal.SIGTERM)

    def _pass_on(self, number: signal.Signals) -> None:
        for child in self._children.values():
            # A worker that is starting does not listen yet: SIGHUP would end it.
            if child.is_ready or number is not signal.SIGHUP:
                child.send(number)
