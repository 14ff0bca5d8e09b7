"""What is measured, as processes that are started, asked on loopback, and ended."""

from __future__ import annotations

import contextlib
import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from conformance.processes import running as running_llmbase
from tests.bench.load import Door
from tests.bench.measure import Meter
from tests.bench.questions import KEY, MODEL, PROVIDER_KEY, UPSTREAM_MODEL
from tests.support import config as configuration

_ROOT = Path(__file__).parents[2]
_STARTS = 60.0  # seconds


@dataclass(frozen=True)
class Running:
    """A subject that answers. `meter` is None for the provider: its cost is nobody's."""

    door: Door
    meter: Meter | None


Start = Callable[[int, Path], "contextlib.AbstractContextManager[Running]"]


@contextlib.contextmanager
def process(
    command: list[str],
    directory: Path,
    *,
    environment: Mapping[str, str] | None = None,
    at: Path = _ROOT,
) -> Iterator[tuple[subprocess.Popen[bytes], Path]]:
    """A process in a group of its own, which is ended as one; and the file it prints to."""
    directory.mkdir(parents=True, exist_ok=True)
    out, err = directory / "out", directory / "err"
    with out.open("wb") as stdout, err.open("wb") as stderr:
        started = subprocess.Popen(
            command,
            stdin=subprocess.DEVNULL,
            stdout=stdout,
            stderr=stderr,
            cwd=at,
            env=os.environ | dict(environment or {}),
            start_new_session=True,
        )
    try:
        yield started, out
    finally:
        _end(started)


def module(name: str, *arguments: str) -> list[str]:
    """The command for one of our own modules."""
    return [sys.executable, "-m", f"tests.bench.{name}", *arguments]


def ready_port(started: subprocess.Popen[bytes], out: Path) -> int:
    """The port of a `ready PORT` line, once it is there."""
    until = time.monotonic() + _STARTS
    while time.monotonic() < until and started.poll() is None:
        text = out.read_text(encoding="utf-8")
        if text.startswith("ready ") and text.endswith("\n"):
            return int(text.split()[1])
        time.sleep(0.01)
    raise RuntimeError(f"{started.args!r} is not ready: {out.with_name('err').read_text()[-2000:]}")


def direct(provider_port: int, directory: Path) -> contextlib.AbstractContextManager[Running]:
    """The provider itself: what the load and the provider take without anybody between."""
    headers = {"authorization": f"Bearer {PROVIDER_KEY}", "x-model": UPSTREAM_MODEL}
    return contextlib.nullcontext(Running(Door(provider_port, headers), None))


@contextlib.contextmanager
def skeleton(provider_port: int, directory: Path) -> Iterator[Running]:
    """The bare skeleton of one process."""
    with process(module("skeleton", str(provider_port)), directory) as (started, out):
        yield Running(Door(ready_port(started, out), _BEARER), Meter((started.pid,)))


@contextlib.contextmanager
def skeleton_pair(provider_port: int, directory: Path) -> Iterator[Running]:
    """The bare skeleton of two processes."""
    socket = str(directory / "pair.sock")
    service = module("skeleton_pair", "service", str(provider_port), socket)
    with process(service, directory / "service") as (behind, out):
        ready_port(behind, out)
        gateway = module("skeleton_pair", "gateway", socket)
        with process(gateway, directory / "gateway") as (started, printed):
            port = ready_port(started, printed)
            yield Running(Door(port, _BEARER), Meter((started.pid, behind.pid)))


@contextlib.contextmanager
def llmbase(
    provider_port: int, directory: Path, *, ledger: bool = False, workers: int = 1
) -> Iterator[Running]:
    """`llmbase up`: one process, or several, which count no limits: those would need Valkey."""
    directory.mkdir(parents=True, exist_ok=True)
    settings = _config(provider_port, ledger=ledger)
    if workers > 1:
        settings["keys"] = [configuration.key_entry("bench", KEY, ["*"])]
    config = configuration.write(settings, directory)
    flags = ("--config", str(config), "--http", "127.0.0.1:0", "--grpc", "127.0.0.1:0")
    flags += ("--workers", str(workers))
    with running_llmbase("up", *flags, directory=directory) as up:
        url = up.wait_until_ready()[0]
        yield Running(Door(_port(url), _BEARER), Meter((up.pid,)))


@contextlib.contextmanager
def sidecar(provider_port: int, directory: Path) -> Iterator[Running]:
    """`llmbase service` and `llmbase gateway`, which meet at a Unix socket."""
    directory.mkdir(parents=True, exist_ok=True)
    config = configuration.write(_config(provider_port), directory)
    socket = f"unix:{directory / 'service.sock'}"
    with running_llmbase(
        "service", "--config", str(config), "--grpc", socket, directory=directory
    ) as service:
        service.wait_until_ready()
        flags = ("--service", socket, "--http", "127.0.0.1:0")
        with running_llmbase("gateway", *flags, directory=directory) as gateway:
            url = gateway.wait_until_ready()[0]
            yield Running(Door(_port(url), _BEARER), Meter((gateway.pid, service.pid)))


WITH_LEDGER = "with ledger"
OURS: Mapping[str, Start] = {
    "direct": direct,
    "skeleton": skeleton,
    "llmbase": llmbase,
    WITH_LEDGER: partial(llmbase, ledger=True),
    "skeleton pair": skeleton_pair,
    "sidecar": sidecar,
}
# Whose bare skeleton is whose limit.
SKELETONS = {"llmbase": "skeleton", "sidecar": "skeleton pair"}

# Counted for every call, and never met.
_LIMITS = {"max_active": 20_000, "requests_per_minute": 10**8, "tokens_per_minute": 10**8}
_BEARER = {"authorization": f"Bearer {KEY}"}


def _config(provider_port: int, *, ledger: bool = False) -> dict[str, Any]:
    """A usual configuration: a key that is checked, limits that are counted, a breaker, metrics.

    With a ledger every call is a row of it (SQLite); it is an operator's, so nothing is held.
    """
    return {
        "server": {"metrics": "127.0.0.1:0"},
        **({} if ledger else {"store": None}),
        "providers": {
            "acme": {
                "dialect": "openai",
                "base_url": f"http://127.0.0.1:{provider_port}/v1",
                "api_key": PROVIDER_KEY,
                "timeouts": {"connect": "30s", "first_content": "60s", "idle": "120s"},
            }
        },
        "models": {
            MODEL: {
                "targets": [{"provider": "acme", "model": UPSTREAM_MODEL}],
                "input_modalities": ["text", "image"],
                "supported_features": ["tools"],
            }
        },
        "keys": [configuration.key_entry("bench", KEY, ["*"]) | _LIMITS],
    }


def _port(url: str) -> int:
    return int(url.rpartition(":")[2])


def _end(started: subprocess.Popen[bytes]) -> None:
    """End a process and all it has started: the group is its own."""
    with contextlib.suppress(ProcessLookupError):
        os.killpg(started.pid, 15)
    try:
        started.wait(10)
    except subprocess.TimeoutExpired:
        os.killpg(started.pid, 9)
        started.wait()
