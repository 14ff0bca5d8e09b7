"""A real PostgreSQL for tests, from the server's own binaries."""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path

import psutil

from tests.support.parts import require_part
from tests.support.servers import Server, free_port

USER, PASSWORD = "llmbase", "postgres-secret-0123456789"
_MISSING = "PostgreSQL's server is missing (apt-get install postgresql)"


class Postgres:
    """A running server. `port` stays the same when it is stopped and started again."""

    def __init__(self, binaries: Path, directory: Path) -> None:
        self._binaries = binaries
        self._directory = directory
        self._count = 0
        self.port = free_port()
        settings = {
            "port": self.port,
            "listen_addresses": "127.0.0.1",
            "unix_socket_directories": directory,
            "max_connections": 200,
            "fsync": "on",
            "timezone": "Asia/Kathmandu",  # nothing may depend on it
        }
        flags = [word for name, value in settings.items() for word in ("-c", f"{name}={value}")]
        command = [str(binaries / "postgres"), "-D", str(directory / "data"), *flags]
        self._server = Server(command, directory / "log", self._answers, "postgres")

    @property
    def log(self) -> str:
        """What the server has logged."""
        return (self._directory / "log").read_text(encoding="utf-8", errors="replace")

    def start(self) -> None:
        """Start it, also after `stop`."""
        self._server.start()

    def start_again(self) -> None:
        """Start it if it does not run: what a test of an outage leaves behind."""
        if not self._server.runs:
            self._server.start()

    def stop(self) -> None:
        """Cut every connection, and listen no longer: an outage."""
        self._server.stop()

    @contextlib.contextmanager
    def frozen(self) -> Iterator[None]:
        """Have it accept connections and answer nothing, until the context ends."""
        postmaster = psutil.Process(self._server.pid)
        everybody = [postmaster, *postmaster.children(recursive=True)]
        for process in everybody:
            process.suspend()
        try:
            yield
        finally:
            for process in everybody:
                with contextlib.suppress(psutil.NoSuchProcess):
                    process.resume()

    def abandon(self) -> None:
        """End it without a last checkpoint, as a crash does."""
        self._server.stop(signal.SIGQUIT)

    def new_database(self) -> str:
        """The URL of a fresh, empty database."""
        self._count += 1
        name = f"test_{self._count}"
        self.sql(f"CREATE DATABASE {name}")
        return f"postgresql://{USER}:{PASSWORD}@127.0.0.1:{self.port}/{name}"

    def sql(self, statement: str, database: str = "postgres") -> str:
        """What psql prints for a statement: rows as lines, columns with `|` between them.

        `database` is a name, or a URL of `new_database`.
        """
        name = database.rpartition("/")[2]
        done = self._run("psql", "-v", "ON_ERROR_STOP=1", "-qAtc", statement, "-d", name)
        assert done.returncode == 0, done.stderr
        return done.stdout.strip()

    def _answers(self) -> bool:
        return self._run("pg_isready", "-q", "-d", "postgres").returncode == 0

    def _run(self, program: str, *arguments: str) -> subprocess.CompletedProcess[str]:
        at = ("-h", str(self._directory), "-p", str(self.port), "-U", USER)
        command = [str(self._binaries / program), *at, *arguments]
        return subprocess.run(command, capture_output=True, text=True, check=False)


@contextlib.contextmanager
def running_postgres() -> Iterator[Postgres]:
    """A fresh server until the context ends; skips, or fails, where there are no binaries."""
    binaries = _binaries()
    require_part(binaries is not None, _MISSING)
    assert binaries is not None
    # Not below pytest's directory: the server's own user could not reach it there.
    directory = Path(tempfile.mkdtemp(prefix="llmbase-pg-", dir="/tmp"))
    try:
        _make_cluster(binaries, directory)
        server = Postgres(binaries, directory)
        server.start()
        try:
            yield server
        finally:
            server.abandon()
    finally:
        shutil.rmtree(directory, ignore_errors=True)


def _binaries() -> Path | None:
    """The newest server's directory of programs."""
    found = Path("/usr/lib/postgresql").glob("*/bin/postgres")
    newest = sorted(found, key=lambda path: int(path.parts[-3]))
    if newest:
        return newest[-1].parent
    on_path = shutil.which("postgres")
    return Path(on_path).resolve().parent if on_path else None


def _make_cluster(binaries: Path, directory: Path) -> None:
    """Local sockets need no password, TCP does: as it is elsewhere."""
    password = directory / "password"
    password.write_text(PASSWORD)
    flags = ["--auth-local=trust", "--auth-host=scram-sha-256", "--encoding=UTF8", "--locale=C"]
    who: dict[str, str] = {}
    if os.getuid() == 0:
        shutil.chown(directory, "postgres", "postgres")
        shutil.chown(password, "postgres", "postgres")
        who = {"user": "postgres", "group": "postgres"}
    data = directory / "data"
    command = [binaries / "initdb", "-D", data, "-U", USER, f"--pwfile={password}", *flags]
    done = subprocess.run(
        [str(word) for word in command],
        capture_output=True,
        text=True,
        check=False,
        cwd="/",
        extra_groups=[] if who else None,
        **who,  # type: ignore[call-overload]
    )
    assert done.returncode == 0, done.stderr
