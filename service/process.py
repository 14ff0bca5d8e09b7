"""The service as a process of its own, and what every process of ours needs: signals, a loop."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
from collections.abc import AsyncIterator, Callable, Mapping
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path

from platformdirs import user_cache_path, user_data_path

from service.config import Config
from service.labels import known_labels
from service.mendable import ConfigError
from service.reloader import Reloader
from service.server import Carried, Service
from telemetry.metrics import OF_THE_SERVICE, Metrics
from telemetry.tracing import Tracer, TracingSettings, TracingUnavailable, open_tracer

Labels = Callable[[Config], Mapping[str, frozenset[str]]]


def _as_it_is(config: Config) -> Config:
    return config


@dataclass(frozen=True, slots=True)
class ConfigFile:
    """A configuration, the file it was read from (None: it is our own), and its metrics' labels.

    `adjust` makes of what the file says what holds for this process; it may raise ConfigError.
    """

    config: Config
    path: Path | None
    labels: Labels = known_labels
    adjust: Callable[[Config], Config] = _as_it_is


def models_directory() -> Path:
    """Return where `llmbase model pull` puts models: a directory of the user's cache."""
    return user_cache_path("llmbase") / "models"


def data_directory() -> Path:
    """Return where accounts are kept, unless the configuration says otherwise."""
    return user_data_path("llmbase")


def stop_signals() -> asyncio.Event:
    """Return an event that SIGINT and SIGTERM set. Needs a running loop."""
    return _event_of(signal.SIGINT, signal.SIGTERM)


def places(grpc: tuple[str, ...], service: Service) -> str:
    """Return what a ready line says of a service: where gRPC is, and what else is anywhere."""
    told = f"grpc {' '.join(grpc)}"
    if service.tls_addresses:
        told += f" grpcs {' '.join(service.tls_addresses)}"
    return told if service.metrics_address is None else f"{told} metrics {service.metrics_address}"


@contextlib.asynccontextmanager
async def tracing(config: Config, name: str) -> AsyncIterator[Tracer]:
    """Give what makes spans inside the block; `name` is the process's in traces.

    At the end the last of them are sent, which takes two seconds at most. Raises ConfigError.
    """
    told = config.telemetry
    settings = TracingSettings(
        told.traces,
        told.sampling,
        told.content,
        name,
        {key: value.get_secret_value() for key, value in told.headers.items()},
    )
    try:
        tracer = open_tracer(settings, version("llmbase"))
    except TracingUnavailable as error:
        raise ConfigError(f"telemetry.{error}") from None
    try:
        yield tracer
    finally:
        await tracer.close()


@contextlib.asynccontextmanager
async def reloading(service: Service, file: ConfigFile, metrics: Metrics) -> AsyncIterator[None]:
    """Have the service follow its configuration file, and SIGHUP, inside the block."""
    if file.path is None:
        yield
        return
    told = _event_of(signal.SIGHUP)
    reloader = Reloader(
        service, file.path, file.config, os.environ, metrics, file.labels, adjust=file.adjust
    )
    watch = asyncio.create_task(reloader.run(told))
    try:
        yield
    finally:
        watch.cancel()
        await asyncio.wait([watch])


async def serve(
    file: ConfigFile,
    addresses: tuple[str, ...],
    carried: tuple[Carried, ...] = (),
    *,
    reuse_port: bool = False,
) -> None:
    """Serve until SIGINT or SIGTERM, then drain. Raises ConfigError, EngineError."""
    async with tracing(file.config, "llmbase-service") as tracer:
        await _serve(file, addresses, carried, tracer, reuse_port=reuse_port)


async def _serve(
    file: ConfigFile,
    addresses: tuple[str, ...],
    carried: tuple[Carried, ...],
    tracer: Tracer,
    *,
    reuse_port: bool,
) -> None:
    stop = stop_signals()
    metrics = Metrics(file.labels(file.config), OF_THE_SERVICE)
    service = Service(file.config, models_directory(), data_directory(), metrics, tracer)
    try:
        places_ = addresses or file.config.server.grpc
        bound = await service.start(places_, carried, reuse_port=reuse_port)
        async with reloading(service, file, metrics):
            ready = f"ready {places(bound, service)}"
            print(ready, flush=True)  # noqa: T201 - the promise to a supervisor
            await stop.wait()
        await service.drain()
    finally:
        await service.close()


def _event_of(*signals: signal.Signals) -> asyncio.Event:
    event = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in signals:
        loop.add_signal_handler(number, event.set)
    return event
