"""`llmbase up`: both doors in one process. The third composition root, beside service and gateway.

The gateway gets an in-process channel to the same servicers that the gRPC server has.
"""

from __future__ import annotations

import asyncio
import json
import os
import sys
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import click

from channel.in_process import InProcessServer
from cli.default_config import MODEL_ID, default_config, new_key
from cli.event_loop import run
from cli.faults import one_line
from cli.gateway import door_options, settings
from cli.logging_option import log_level_option
from cli.model import pull_with_progress
from cli.workers.run import supervise, this_worker, workers_option
from cli.workers.worker import Worker
from gateway.app import Settings, build_app
from gateway.door import start_http
from relay.server import RelayServer
from service.config import Config
from service.config_file import load
from service.process import (
    ConfigFile,
    data_directory,
    models_directory,
    places,
    reloading,
    stop_signals,
    tracing,
)
from service.providers.embedded import require_engine
from service.providers.model_store import DEFAULT_MODEL
from service.server import Service
from telemetry import log
from telemetry.metrics import Metrics
from telemetry.tracing import Tracer

Example = Callable[[str], tuple[str, ...]]

_HELLO = {"role": "user", "content": "Say hello."}


@click.command("up")
@click.option(
    "--config",
    "-c",
    "config_file",
    type=click.Path(path_type=Path),
    help="Configuration file (YAML). Default: the embedded local model.",
)
@click.option(
    "--grpc",
    "grpc_addresses",
    multiple=True,
    envvar="LLMBASE_GRPC",
    show_envvar=True,
    help="Where gRPC listens; may be repeated. Default: the configuration's, else 127.0.0.1:50051.",
)
@door_options
@workers_option
@log_level_option
def command(
    config_file: Path | None,
    grpc_addresses: tuple[str, ...],
    workers: int,
    log_level: str,
    http: str,
    **door: Any,
) -> None:
    """Serve both doors, gRPC and REST, in one process.

    Without --config it answers with the embedded model local/smollm2-135m-instruct, which it
    fetches the first time (about 90 MB). The API key is then $LLMBASE_API_KEY, or a fresh one
    that is printed. With --config the keys are the configuration's.

    Prints `ready http://HOST:PORT grpc HOST:PORT` once both doors answer, and after it
    `grpcs HOST:PORT` and `metrics HOST:PORT` where the configuration has `server.tls` and
    `server.metrics`. A changed configuration file
    is taken over as it is written, or on SIGHUP. SIGINT and SIGTERM let open calls finish.
    """
    with one_line():
        key, model_id = "", MODEL_ID
        if config_file is None:
            if workers > 1:
                raise ValueError("--workers needs --config: the local model is for one process")
            key = os.environ.get("LLMBASE_API_KEY") or new_key()
            config = _local_model(key)
        else:
            config = load(config_file, os.environ)
            model_id = next(iter(sorted(m for m in config.models if not m.endswith("*"))), "MODEL")
        log.to_stderr(log_level)
        worker, told = this_worker(workers), settings(**door)
        example = partial(_example, key, model_id)
        if worker is None:
            supervise(
                workers,
                config=config,
                grpc=grpc_addresses,
                http=http,
                metrics=config.server.metrics,
                example=example,
            )
            return
        file = ConfigFile(worker.adjust(config), config_file, adjust=worker.adjust)
        where = replace(worker, http=worker.http or http, grpc=worker.grpc or grpc_addresses)
        run(_trace(file, where, told, example), worker.begin)


def _local_model(key: str) -> Config:
    require_engine()
    pull_with_progress(DEFAULT_MODEL, models_directory())
    return default_config(key)


async def _trace(file: ConfigFile, *others: Any) -> None:
    async with tracing(file.config, "llmbase") as tracer:
        await _serve(tracer, file, *others)


async def _serve(
    tracer: Tracer, file: ConfigFile, where: Worker, settings: Settings, example: Example
) -> None:
    stop = stop_signals()
    metrics = Metrics(file.labels(file.config))
    service = Service(file.config, models_directory(), data_directory(), metrics, tracer)
    inside = InProcessServer()
    service.register(inside)
    try:
        addresses, shared = where.grpc or file.config.server.grpc, not where.alone
        relay = RelayServer(file.config.server.max_message_bytes)  # for gateways elsewhere
        bound = await service.start(addresses, (relay,), reuse_port=shared)
        app = build_app(inside.channel(), settings, metrics=metrics, tracer=tracer)
        door = await start_http(app, where.http, settings.tls, reuse_port=shared, together=True)
        try:
            async with reloading(service, file, metrics):
                click.echo(f"ready {door.url} {places(bound, service)}")
                if where.alone:  # else the parent says it, once
                    click.echo("\n".join(example(door.url)))
                sys.stdout.flush()
                await stop.wait()
            ending = service.config.server
            await asyncio.gather(door.stop(ending.drain, ending.notice or 0), service.drain())
        finally:
            await door.stop(0)
    finally:
        await service.close()


def _example(key: str, model_id: str, url: str) -> tuple[str, ...]:
    """Return how to try the door: a line that works when it is pasted."""
    fresh = key and not os.environ.get("LLMBASE_API_KEY")
    shown = key if fresh else "$LLMBASE_API_KEY"
    body = {"model": model_id, "stream": True, "messages": [_HELLO]}
    line = (
        f'curl -N {url}/v1/chat/completions -H "Authorization: Bearer {shown}" '
        f"-H 'Content-Type: application/json' -d '{json.dumps(body, separators=(',', ':'))}'"
    )
    return (line, f"export LLMBASE_API_KEY={key}") if fresh else (line,)
