"""Starts the real programs as processes of their own, and never leaves one behind."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from pathlib import Path

# The child asks the kernel to be killed when we die, however that happens, and becomes the
# program; so its pid is the program's. (Elsewhere than on Linux, teardown must do.)
_LAUNCH = """
import os, sys
if sys.platform == "linux":
    import ctypes
    ctypes.CDLL(None).prctl(1, 9)
os.execv(sys.executable, [sys.executable, *sys.argv[1:]])
"""


class Process:
    """A running `llmbase` command and what it has printed."""

    def __init__(
        self, *arguments: str, directory: Path, environment: Mapping[str, str] | None = None
    ) -> None:
        self.name = arguments[0]
        directory.mkdir(parents=True, exist_ok=True)
        self._out, self._err = directory / f"{self.name}.out", directory / f"{self.name}.err"
        inherited = {k: v for k, v in os.environ.items() if not k.startswith("LLMBASE_")}
        # Accounts are kept in the user's data directory: not those of whoever starts us.
        inherited["XDG_DATA_HOME"] = str(directory.resolve() / "data")
        with self._out.open("wb") as out, self._err.open("wb") as err:
            self._popen = subprocess.Popen(
                [sys.executable, "-c", _LAUNCH, "-m", "cli", *arguments],
                stdin=subprocess.DEVNULL,
                stdout=out,
                stderr=err,
                cwd=directory,
                env=inherited | dict(environment or {}),
            )

    @property
    def pid(self) -> int:
        """Its process id."""
        return self._popen.pid

    @property
    def exit_code(self) -> int | None:
        """None while it runs."""
        return self._popen.poll()

    @property
    def out(self) -> str:
        """What it has written to standard output."""
        return self._out.read_text(encoding="utf-8")

    @property
    def log(self) -> str:
        """What it has written to standard error."""
        return self._err.read_text(encoding="utf-8")

    def wait_until_ready(self, timeout: float = 30.0) -> list[str]:
        """The words of its ready line after `ready`. Raises when it ends or stays silent."""
        until = time.monotonic() + timeout
        while time.monotonic() < until:
            for line in self.out.splitlines():
                if line.startswith("ready "):
                    return line.split()[1:]
            if self.exit_code is not None:
                break
            time.sleep(0.01)
        raise AssertionError(
            f"{self.name} is not ready (exit code {self.exit_code}):\n{self.out}{self.log}"
        )

    def send(self, number: signal.Signals) -> None:
        """Send it a signal."""
        self._popen.send_signal(number)

    def wait(self, timeout: float = 15.0) -> int:
        """Its exit code, once it has ended. Raises subprocess.TimeoutExpired."""
        return self._popen.wait(timeout)

    def stop(self) -> int:
        """Ask it to end, and end it by force when it does not. Returns the exit code."""
        if self.exit_code is None:
            self.send(signal.SIGTERM)
            with contextlib.suppress(subprocess.TimeoutExpired):
                return self.wait()
            self._popen.kill()
        return self.wait()


@contextlib.contextmanager
def running(
    *arguments: str, directory: Path, environment: Mapping[str, str] | None = None
) -> Iterator[Process]:
    """`llmbase ARGUMENTS`, started and, when the context ends, stopped."""
    process = Process(*arguments, directory=directory, environment=environment)
    try:
        yield process
    finally:
        process.stop()
