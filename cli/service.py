"""`llmbase service`: the gRPC door alone."""

from __future__ import annotations

import os
from pathlib import Path

import click

from cli.event_loop import run
from cli.faults import one_line
from cli.logging_option import log_level_option
from cli.workers.run import supervise, this_worker, workers_option
from relay.server import RelayServer
from service.config_file import load
from service.process import ConfigFile, serve
from telemetry import log


@click.command("service")
@click.option(
    "--config",
    "-c",
    "config_file",
    type=click.Path(path_type=Path),
    required=True,
    envvar="LLMBASE_CONFIG",
    show_envvar=True,
    help="Configuration file (YAML).",
)
@click.option(
    "--grpc",
    "grpc_addresses",
    multiple=True,
    envvar="LLMBASE_GRPC",
    show_envvar=True,
    help="Where to listen: HOST:PORT or unix:PATH; may be repeated. Default: the configuration's.",
)
@workers_option
@log_level_option
def command(
    config_file: Path, grpc_addresses: tuple[str, ...], workers: int, log_level: str
) -> None:
    """Serve the gRPC door alone: routing and provider calls.

    Prints `ready grpc ADDRESS...` once calls are answered, and after it `metrics HOST:PORT`
    where the configuration has `server.metrics`. A changed file is taken over as it is
    written, or on SIGHUP. SIGINT and SIGTERM let open calls finish for the configuration's
    `server.drain`.
    """
    with one_line():
        config = load(config_file, os.environ)
        log.to_stderr(log_level)
        worker = this_worker(workers)
        if worker is None:
            supervise(workers, config=config, grpc=grpc_addresses, metrics=config.server.metrics)
            return
        file = ConfigFile(worker.adjust(config), config_file, adjust=worker.adjust)
        addresses = worker.grpc or grpc_addresses
        relay = RelayServer(config.server.max_message_bytes)
        run(serve(file, addresses, (relay,), reuse_port=not worker.alone), worker.begin)
