"""Other people's servers as child processes: on a free port, and never left behind."""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import socket
import subprocess
import time
from collections.abc import Callable
from pathlib import Path

_PATIENCE = 60.0  # seconds until a server answers: the machine may be busy


def free_port() -> int:
    """A TCP port of the loopback address that nobody listens on now."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


class Server:
    """A program in the foreground. `user` is whom it runs as, where we are root; None: as we are.

    `ready` is asked until it says yes. What the program prints is in the file `log`.
    """

    def __init__(
        self, command: list[str], log: Path, ready: Callable[[], bool], user: str | None = None
    ) -> None:
        self._command = _as(user) + command
        self._log = log
        self._ready = ready
        self._popen: subprocess.Popen[bytes] | None = None

    @property
    def pid(self) -> int:
        """The process id; the program must have been started."""
        assert self._popen is not None
        return self._popen.pid

    @property
    def runs(self) -> bool:
        """Whether it was started, and has not ended."""
        return self._popen is not None and self._popen.poll() is None

    def start(self) -> None:
        """Start it, and return when it answers."""
        with self._log.open("ab") as log:
            self._popen = subprocess.Popen(
                self._command, stdin=subprocess.DEVNULL, stdout=log, stderr=log
            )
        until = time.monotonic() + _PATIENCE
        while not self._ready():
            ended = self._popen.poll()
            if ended is not None or time.monotonic() > until:
                self.kill()
                raise AssertionError(f"{self._command}: {ended}\n{self._log.read_text()}")
            time.sleep(0.02)

    def stop(self, number: signal.Signals = signal.SIGINT) -> None:
        """Ask it to end, by force if it does not; the pause a test makes an outage with."""
        if self._popen is None:
            return
        if self._popen.poll() is None:
            self._popen.send_signal(number)
            with contextlib.suppress(subprocess.TimeoutExpired):
                self._popen.wait(30)
        self.kill()

    def kill(self) -> None:
        """End it at once."""
        if self._popen is not None:
            self._popen.kill()
            self._popen.wait()
            self._popen = None


def _as(user: str | None) -> list[str]:
    """The beginning of a command that runs as `user`, and ends when we do, however that is."""
    setpriv = shutil.which("setpriv")
    if setpriv is None:
        return []
    who = ["--reuid", user, "--regid", user, "--clear-groups"] if user and os.getuid() == 0 else []
    return [setpriv, "--pdeathsig", "QUIT", *who, "--"]
