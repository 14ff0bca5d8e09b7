"""Several workers behind one command: their doors are found here, their processes elsewhere."""

from __future__ import annotations

import asyncio
import contextlib
import os
import sys
import tempfile
from collections.abc import AsyncIterator, Callable, Sequence
from pathlib import Path
from typing import Any, TypeVar

import click

from cli.workers import worker
from cli.workers.child import own_command
from cli.workers.pages import WorkerPages
from cli.workers.ports import Ports
from cli.workers.supervisor import Supervisor
from cli.workers.worker import Worker
from service.config import Config
from service.config_file import ConfigError
from telemetry import metrics_listener

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
    example: Callable[[str], Sequence[str]] = lambda _: (),
) -> None:
    """Run `count` workers of this command until a signal ends them; exits if one went wrong.

    `grpc` is where gRPC listens, unless the configuration says it; `example` makes of the first
    address of the ready line what is printed after it. Raises ConfigError, ValueError
    and OSError, before anything is started.
    """
    if config is not None:
        worker.check(config, count)
    with contextlib.closing(Ports()) as ports, tempfile.TemporaryDirectory() as directory:
        doors = _doors(ports, config, grpc, http)
        made = [Worker(number, count, **doors) for number in range(count)]
        # Not on uvloop: its children keep copies of their own pipes, and would not see the end.
        code = asyncio.run(_run(made, config, Path(directory), example))
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


async def _run(
    workers: Sequence[Worker],
    config: Config | None,
    directory: Path,
    example: Callable[[str], Sequence[str]],
) -> int:
    address = config.server.metrics if config is not None else None
    async with _metrics(workers, address, directory) as (told, bound):

        def announce(ready: str) -> None:
            line = ready.replace(told[0].metrics or "\n", bound)
            click.echo("\n".join((line, *example(line.split()[1]))))
            sys.stdout.flush()

        return await Supervisor(told, own_command(), announce).run()


@contextlib.asynccontextmanager
async def _metrics(
    workers: Sequence[Worker], address: str | None, directory: Path
) -> AsyncIterator[tuple[Sequence[Worker], str]]:
    """Serve the page of all inside the block; give workers that know their sockets, and where."""
    if address is None:
        yield workers, ""
        return
    sockets = {one.number: directory / f"{one.number}.sock" for one in workers}
    try:
        listener = await metrics_listener.listen(WorkerPages(sockets), address)
    except OSError as error:
        raise ConfigError(f"server.metrics: cannot listen on {address}: {error.strerror}") from None
    told = [
        Worker(one.number, one.of, one.http, one.grpc, one.tls, f"unix:{sockets[one.number]}")
        for one in workers
    ]
    try:
        yield told, listener.address
    finally:
        await listener.close()
