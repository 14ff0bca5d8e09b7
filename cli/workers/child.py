"""One worker as its parent sees it: a process, whether it is ready, and what it prints."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import sys
from collections.abc import Sequence

from cli.workers.worker import VARIABLE, Worker


class Child:
    """A running worker; made by `start`. `line` is its ready line, once it has said it.

    `silent` counts what whoever watches it adds, until it is heard again.
    """

    def __init__(self, process: asyncio.subprocess.Process) -> None:
        self._process = process
        self.line = ""
        self.silent = 0
        self._ready = asyncio.Event()
        self._reading = asyncio.create_task(self._read())

    @classmethod
    async def start(cls, worker: Worker, command: Sequence[str], tether: int) -> Child:
        """Start a worker, whose input is `tether`: it ends when the other end of that is closed.

        In a session of its own, so that a terminal's Ctrl-C reaches it through us alone.
        """
        process = await asyncio.create_subprocess_exec(
            *command,
            stdin=tether,
            stdout=asyncio.subprocess.PIPE,
            env=os.environ | {VARIABLE: worker.to_text()},
            start_new_session=True,
        )
        return cls(process)

    @property
    def pid(self) -> int:
        """Its process id."""
        return self._process.pid

    @property
    def runs(self) -> bool:
        """Whether it has not ended."""
        return self._process.returncode is None

    @property
    def is_ready(self) -> bool:
        """Whether it has said so, and thus hears signals."""
        return self._ready.is_set()

    async def ready(self) -> bool:
        """Wait until it is ready; return False when it has ended instead."""
        said = asyncio.create_task(self._ready.wait())
        try:
            await asyncio.wait([said, self._reading], return_when=asyncio.FIRST_COMPLETED)
        finally:
            said.cancel()
        return self._ready.is_set()

    async def ended(self) -> int:
        """Wait for its end; return its exit code, or minus the signal that ended it."""
        return await self._process.wait()

    def send(self, number: signal.Signals) -> None:
        """Send it a signal, if it still runs."""
        # Not through the process: that looks whether it has ended, and takes its exit code away
        # from whoever waits for it.
        if self.runs:
            with contextlib.suppress(ProcessLookupError):
                os.kill(self._process.pid, number)

    async def _read(self) -> None:
        """Read what it prints to the end, so that it never waits for a reader."""
        assert self._process.stdout is not None  # noqa: S101 - it is a pipe
        async for line in self._process.stdout:
            self.silent = 0
            if line.startswith(b"ready ") and not self._ready.is_set():
                self.line = line.decode().rstrip("\n")
                self._ready.set()


def own_command() -> tuple[str, ...]:
    """Return the command by which this process was started."""
    return (sys.executable, *sys.orig_argv[1:])
