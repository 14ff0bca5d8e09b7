"""The shapes in which the product runs: one process, service and sidecar, one before another."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tests.support import config as configuration
from tests.support.processes import Process, running
from tests.support.scripted_upstream import ScriptedUpstream


@dataclass(frozen=True)
class Deployment:
    """A running product: where its doors are, and what stands behind it."""

    http: str  # base URL without /v1
    grpc: str  # gRPC target
    upstream: ScriptedUpstream
    processes: tuple[Process, ...]
    metrics: str = ""  # HOST:PORT, where the configuration has it

    @property
    def log(self) -> str:
        return "".join(process.log for process in self.processes)


@contextlib.contextmanager
def one_process(
    upstream: ScriptedUpstream,
    directory: Path,
    config: dict[str, Any] | None = None,
    *,
    environment: Mapping[str, str] | None = None,
) -> Iterator[Deployment]:
    """`llmbase up`: both doors in one process. `environment` holds the REST door's settings."""
    directory.mkdir(parents=True, exist_ok=True)
    path = configuration.write(config or configuration.standard(upstream), directory)
    ports = ("--http", "127.0.0.1:0", "--grpc", "127.0.0.1:0")
    flags = ("--config", str(path), *ports)
    with running("up", *flags, directory=directory, environment=environment) as up:
        http, _, grpc, *more = up.wait_until_ready()
        yield Deployment(http, grpc, upstream, (up,), metrics="".join(more[1:]))


@contextlib.contextmanager
def sidecar(
    upstream: ScriptedUpstream,
    directory: Path,
    config: dict[str, Any] | None = None,
    *,
    environment: Mapping[str, str] | None = None,
    every: Mapping[str, str] | None = None,
) -> Iterator[Deployment]:
    """`llmbase service` and `llmbase gateway`, which meet at a Unix socket.

    `environment` is the gateway's, `every` that of both.
    """
    directory.mkdir(parents=True, exist_ok=True)
    path = configuration.write(config or configuration.standard(upstream), directory)
    socket = f"unix:{directory / 'service.sock'}"
    at = ("--grpc", "127.0.0.1:0", "--grpc", socket)
    flags = ("--config", str(path), *at)
    with running("service", *flags, directory=directory, environment=every) as service:
        bound = service.wait_until_ready()
        grpc = next(word for word in bound if word.startswith("127."))
        metrics = bound[bound.index("metrics") + 1] if "metrics" in bound else ""
        flags = ("--service", socket, "--http", "127.0.0.1:0")
        own = {**(every or {}), **(environment or {})}
        with running("gateway", *flags, directory=directory, environment=own) as gateway:
            (http,) = gateway.wait_until_ready()
            yield Deployment(http, grpc, upstream, (gateway, service), metrics)


@contextlib.contextmanager
def chained(
    upstream: ScriptedUpstream, directory: Path, *, unix: bool = False, **timeouts: str
) -> Iterator[Deployment]:
    """`llmbase up` before an `llmbase service`: its provider `far`, at a port or a Unix socket."""
    outer_directory, inner_directory = directory / "outer", directory / "inner"
    for made in (outer_directory, inner_directory):
        made.mkdir(parents=True)
    path = configuration.write(configuration.standard(upstream), inner_directory)
    at = f"unix:{inner_directory}/service.sock" if unix else "127.0.0.1:0"
    flags = ("--config", str(path), "--grpc", at)
    with running("service", *flags, directory=inner_directory) as inner:
        bound = inner.wait_until_ready()[-1]
        url = bound if unix else f"grpc://{bound}"
        config = configuration.chained(url, upstream, **timeouts)
        with one_process(upstream, outer_directory, config) as outer:
            yield Deployment(outer.http, outer.grpc, upstream, (*outer.processes, inner))
