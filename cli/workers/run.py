"""Several workers behind one command: their doors are found here, their processes elsewhere."""

from __future__ import annotations

import asyncio
import contextlib
import dataclasses
import itertools
import os
import sys
import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import click

from cli.workers import worker
from cli.workers.child import own_command
from cli.workers.ports import Ports
from cli.workers.supervisor import Supervisor
from cli.workers.worker import Worker
from service.mendable import ConfigError
from telemetry import metrics_listener
from telemetry.worker_pages import WorkerPages

if TYPE_CHECKING:
    from service.config import Config

F = TypeVar("F", bound=Callable[..., Any])


def workers_option(function: F) -> F:
    """Add --workers."""
    return click.option(
        "--workers",
        type=click.IntRange(min=1),
        default=1,
        envvar="LLMBASE_WORKERS",
        show_default=True,
        show_envvar=True,
        help="Processes that listen at the same ports; they share limits in Redis or Valkey.",
    )(function)


def this_worker(count: int) -> Worker | None:
    """Return which worker this process is to be; None: it is to be the parent of `count`."""
    found = worker.from_environment(os.environ)
    if found is not None:
        worker.end_with_parent()
        return found
    return Worker() if count == 1 else None


def supervise(
    count: int,
    *,
    config: Config | None = None,
    grpc: Sequence[str] = (),
    http: str = "",
    metrics: str | None = None,
    example: Callable[[str], Sequence[str]] = lambda _: (),
) -> None:
    """Run `count` workers of this command until a signal ends them; exits if one went wrong.

    `grpc` is where gRPC listens, unless the configuration says it, `metrics` where the page of
    all is read; `example` makes of the first
    address of the ready line what is printed after it. Raises ConfigError, ValueError
    and OSError, before anything is started.
    """
    if config is not None:
        worker.check(config, count)
    with contextlib.closing(Ports()) as ports, tempfile.TemporaryDirectory() as directory:
        plan = Worker(0, count, **_doors(ports, config, grpc, http))
        crew = _Crew(plan, Path(directory) if metrics is not None else None)
        # Not on uvloop: its children keep copies of their own pipes, and would not see the end.
        code = asyncio.run(_run(crew, count, metrics, example))
    if code:
        raise SystemExit(code)


def _doors(ports: Ports, config: Config | None, grpc: Sequence[str], http: str) -> dict[str, Any]:
    found: dict[str, Any] = {"http": ports.hold(http)} if http else {}
    if config is not None:
        server = config.server
        found["grpc"] = tuple(_held(ports, "server.grpc", text) for text in grpc or server.grpc)
        tls = server.tls.grpc if server.tls is not None else ()
        found["tls"] = tuple(_held(ports, "server.tls.grpc", text) for text in tls)
    return found


def _held(ports: Ports, key: str, address: str) -> str:
    try:
        return ports.hold(address)
    except OSError as error:
        raise ConfigError(f"{key}: cannot listen on {address}: {error.strerror}") from None


class _Crew:
    """What each worker is told; those with metrics have a socket of their own each time."""

    def __init__(self, plan: Worker, directory: Path | None) -> None:
        self._plan = plan
        self._directory = directory
        self._made = itertools.count()
        self.pages = WorkerPages()

    def next(self, number: int) -> Worker:
        """Return what the next process with this number is told."""
        told = dataclasses.replace(self._plan, number=number)
        if self._directory is None:
            return told
        path = str(self._directory / f"{next(self._made)}.sock")
        self.pages.add(path)
        return dataclasses.replace(told, metrics=f"unix:{path}")

    def ended(self, worker: Worker) -> None:
        """Keep what a worker had counted when it was last read."""
        if worker.metrics is not None:
            self.pages.end(worker.metrics.removeprefix("unix:"))


async def _run(
    crew: _Crew, count: int, metrics: str | None, example: Callable[[str], Sequence[str]]
) -> int:
    async with contextlib.AsyncExitStack() as stack:
        page = metrics_listener.listening(crew.pages, metrics)
        try:
            bound = await stack.enter_async_context(page)
        except OSError as error:
            reason = f"cannot listen on {metrics}: {error.strerror}"
            raise ConfigError(f"server.metrics: {reason}") from None

        def announce(ready: str) -> None:
            words = ready.split()
            if bound is not None:
                words[-1] = bound  # the worker's own is a secret
            click.echo("\n".join((" ".join(words), *example(words[1]))))
            sys.stdout.flush()

        return await Supervisor(count, crew, own_command(), announce).run()
