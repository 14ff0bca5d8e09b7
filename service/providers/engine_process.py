"""One run of the embedded engine: started, told ready, ended; and what is said of its end."""

from __future__ import annotations

import asyncio
import contextlib
import dataclasses
import json
import re
import signal
import sys
from asyncio import subprocess
from pathlib import Path

from service.providers import embedded_engine
from service.providers.embedded_engine import EngineOptions
from service.providers.model_store import LocalModelError

_TAIL = 8192  # bytes of its log that are kept
_PATIENCE = 2.0  # seconds between asking it to end and ending it
_LOGGED_ERROR = re.compile(r"^[\d.]+ E +(.*)$", re.MULTILINE)
# Text of llama.cpp's source, so it cannot quote a request.
_ASSERTION = re.compile(r"^\S+:\d+: GGML_ASSERT\(.*\) failed$", re.MULTILINE)


class EngineError(LocalModelError):
    """The embedded engine cannot be started."""


class EngineProcess:
    """A child process that is ready to answer. Made by `start`; must be stopped."""

    def __init__(self, process: subprocess.Process) -> None:
        self._process = process
        self._ready = False
        self._tail = b""
        self._listening = asyncio.get_running_loop().create_task(self._listen())

    @classmethod
    async def start(cls, options: EngineOptions, timeout: float) -> EngineProcess:
        """Return a process that is ready within `timeout` seconds. Raises EngineError."""
        # By its path and with -P, so that nothing in the working directory can take its place;
        # in a session of its own, so that a terminal's Ctrl-C lets open answers finish.
        try:
            process = await subprocess.create_subprocess_exec(
                sys.executable,
                "-P",
                embedded_engine.__file__,
                json.dumps(dataclasses.asdict(options)),
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
                start_new_session=True,
            )
        except OSError as error:
            raise EngineError(f"the engine cannot be started: {error}") from None
        child = cls(process)
        try:
            async with asyncio.timeout(timeout):
                await child._become_ready(Path(options.model).name)
        except TimeoutError:
            await child.stop()
            raise EngineError(f"the model is not loaded after {timeout:g} s") from None
        except BaseException:
            await child.stop()
            raise
        return child

    async def ended(self) -> str:
        """Wait for its end, and return the reason in a few words that quote no request."""
        code = await self._process.wait()
        await asyncio.wait([self._listening])
        how = f"exit code {code}" if code >= 0 else f"signal {-code} ({signal.strsignal(-code)})"
        log = self._tail.decode(errors="replace")
        if self._ready:
            # From now on the log may quote what callers sent: a failed assertion is all we take.
            return ": ".join([how, *_ASSERTION.findall(log)[-1:]])
        # What comes first is the cause; the last line is Python's, when there was no such line.
        lines = _LOGGED_ERROR.findall(log)[:1] or log.strip().splitlines()[-1:] or [how]
        return str(lines[0])

    async def stop(self) -> None:
        """End it: asked first, then by force."""
        with contextlib.suppress(ProcessLookupError):
            self._process.terminate()
        try:
            async with asyncio.timeout(_PATIENCE):
                await self._process.wait()
        except TimeoutError:
            with contextlib.suppress(ProcessLookupError):
                self._process.kill()
            await self._process.wait()
        await asyncio.wait([self._listening])

    async def _become_ready(self, name: str) -> None:
        assert self._process.stdout is not None  # noqa: S101 - it is a pipe
        # Not read to its end: under uvloop a child has further copies of its own pipes.
        self._ready = await self._process.stdout.readline() == b"ready\n"
        if not self._ready:
            raise EngineError(f"the model {name} cannot be loaded: {await self.ended()}")

    async def _listen(self) -> None:
        """Read its log to the end, so that it never waits for a reader."""
        assert self._process.stderr is not None  # noqa: S101 - it is a pipe
        while data := await self._process.stderr.read(_TAIL):
            self._tail = (self._tail + data)[-_TAIL:]
