"""What the store could not take yet, on disk: files of lines, each replayed by one process.

A file is locked for as long as somebody writes or replays it; the lock goes with its process.
"""

from __future__ import annotations

import contextlib
import fcntl
import logging
import os
import uuid
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import BinaryIO

_LOG = logging.getLogger("llmbase.accounts")

_SUFFIX = ".jsonl"
_NEW = ".new"  # not locked yet, and empty
_REFUSED = "refused.log"


class Spool:
    """One process's view of a directory, which is made when something is written."""

    def __init__(self, directory: Path) -> None:
        self._directory = directory
        self._file: int | None = None

    def append(self, lines: Iterable[bytes]) -> None:
        """Write lines down, all of them or none: they outlive the process. Raises OSError."""
        if self._file is None:
            self._file = self._open()
        _write(self._file, b"".join(lines))

    def sync(self) -> None:
        """Wait until what was appended outlives the machine, too. Raises OSError."""
        if self._file is not None:
            os.fsync(self._file)

    def rotate(self) -> None:
        """Let go of this process's own file, so that it can be replayed."""
        file, self._file = self._file, None
        if file is not None:
            os.close(file)

    def claim(self) -> Iterator[SpoolFile]:
        """Give every file that nobody else has; each is let go of when the next is asked for.

        What cannot be opened, a file of another user perhaps, holds the others up no longer than it
        takes to say so.
        """
        for path in sorted(self._directory.glob(f"*{_SUFFIX}")):
            with contextlib.ExitStack() as stack:
                try:
                    file = stack.enter_context(path.open("rb"))
                    fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
                    mine = os.path.samestat(path.stat(), os.fstat(file.fileno()))
                except (FileNotFoundError, BlockingIOError):
                    continue  # another has it, or has replayed it meanwhile
                except OSError as error:
                    detail = f"{path.name}: {type(error).__name__}"
                    _LOG.error("spool has a file that cannot be read", extra={"detail": detail})
                    continue
                if mine:
                    yield SpoolFile(path, file)

    def refuse(self, line: bytes) -> None:
        """Put aside what cannot be replayed: somebody has to look at it. Raises OSError."""
        self._directory.mkdir(parents=True, exist_ok=True, mode=0o700)
        path = self._directory.joinpath(_REFUSED)
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
        try:
            _write(descriptor, line.rstrip(b"\n") + b"\n")
            os.fsync(descriptor)
        finally:
            os.close(descriptor)

    def _open(self) -> int:
        self._directory.mkdir(parents=True, exist_ok=True, mode=0o700)
        path = self._directory.joinpath(f"{os.getpid()}-{uuid.uuid4().hex}{_SUFFIX}")
        new = path.with_suffix(_NEW)
        file = os.open(new, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_APPEND, 0o600)
        fcntl.flock(file, fcntl.LOCK_EX)
        new.rename(path)  # under the name that others look for it is never without its lock
        _sync_directory(self._directory)
        return file


class SpoolFile:
    """A file that is locked by this process."""

    def __init__(self, path: Path, file: BinaryIO) -> None:
        self._path = path
        self._file = file

    def lines(self, most: int) -> Iterator[list[bytes]]:
        """Give its lines, so many at a time. The last one can be torn."""
        while lines := [line for _, line in zip(range(most), self._file, strict=False)]:
            yield lines

    def remove(self) -> None:
        """All of it has been replayed."""
        self._path.unlink()
        _sync_directory(self._path.parent)


def _write(file: int, data: bytes) -> None:
    size = os.fstat(file).st_size
    try:
        written = 0
        while written < len(data):
            written += os.write(file, memoryview(data)[written:])
    except OSError:
        os.ftruncate(file, size)
        raise


def _sync_directory(directory: Path) -> None:
    descriptor = os.open(directory, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
