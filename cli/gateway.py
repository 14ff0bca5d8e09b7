"""`llmbase gateway`: the REST door alone, in front of a service."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any, TypeVar

import click

from cli.event_loop import run
from cli.faults import one_line
from cli.logging_option import log_level_option
from cli.workers.run import supervise, this_worker, workers_option
from gateway.app import Settings
from gateway.connection import ServiceTls
from gateway.process import serve
from gateway.tls import TlsFiles
from relay.channel import RelayChannel
from telemetry import log
from telemetry.tracing import TracingSettings

F = TypeVar("F", bound=Callable[..., Any])


def _file(name: str, text: str) -> Callable[[F], F]:
    variable = f"LLMBASE_{name.upper().replace('-', '_')}"
    kind = click.Path(dir_okay=False, path_type=Path)
    return click.option(f"--{name}", type=kind, envvar=variable, show_envvar=True, help=text)


def door_options(function: F) -> F:
    """Add what can be set of the REST door, wherever its service is."""
    for option in reversed(
        (
            click.option(
                "--http",
                default="127.0.0.1:8080",
                envvar="LLMBASE_HTTP",
                show_default=True,
                show_envvar=True,
                help="Where REST listens: HOST:PORT or unix:PATH; port 0 takes a free one.",
            ),
            click.option(
                "--max-body",
                type=click.IntRange(min=1),
                default=Settings().max_body,
                envvar="LLMBASE_MAX_BODY",
                show_default=True,
                show_envvar=True,
                help="Largest request body, in bytes.",
            ),
            click.option(
                "--cors",
                default="",
                envvar="LLMBASE_CORS",
                show_envvar=True,
                help="Origins whose pages may call, separated by commas, or *. Default: none.",
            ),
            click.option(
                "--keepalive",
                type=click.FloatRange(min=0, min_open=True),
                default=Settings().keepalive,
                envvar="LLMBASE_KEEPALIVE",
                show_default=True,
                show_envvar=True,
                help="Seconds of silence in a stream before a comment line.",
            ),
            _file("tls-cert", "Our certificate and its chain (PEM): REST is then https."),
            _file("tls-key", "Its private key (PEM). A pair that is exchanged is taken over."),
        )
    ):
        function = option(function)
    return function


def settings(
    max_body: int, cors: str, keepalive: float, tls_cert: Path | None, tls_key: Path | None
) -> Settings:
    """Return the door's settings as the options give them. Raises ValueError."""
    if (tls_cert is None) != (tls_key is None):
        raise ValueError("--tls-cert and --tls-key go together")
    tls = None if tls_cert is None or tls_key is None else TlsFiles(tls_cert, tls_key)
    origins = tuple(origin.strip() for origin in cors.split(",") if origin.strip())
    return Settings(max_body=max_body, cors=origins, keepalive=keepalive, tls=tls)


@click.command("gateway")
@click.option(
    "--service",
    "service",
    default="127.0.0.1:50051",
    envvar="LLMBASE_SERVICE",
    show_default=True,
    show_envvar=True,
    help="Where the service listens: HOST:PORT, unix:PATH, or with TLS grpcs://HOST:PORT.",
)
@_file("service-ca", "Who signed its certificate (PEM). Default: gRPC's own list.")
@_file("service-cert", "Our certificate for it (PEM), where it asks for one.")
@_file("service-key", "The private key of --service-cert (PEM).")
@door_options
@click.option(
    "--drain",
    type=click.FloatRange(min=0),
    default=Settings().drain,
    envvar="LLMBASE_DRAIN",
    show_default=True,
    show_envvar=True,
    help="Seconds that open calls get at the end.",
)
@click.option(
    "--traces",
    envvar=["LLMBASE_TRACES", "OTEL_EXPORTER_OTLP_ENDPOINT"],
    show_envvar=True,
    help="Base URL of an OTLP endpoint (HTTP, protobuf) for traces. Default: none.",
)
@click.option(
    "--trace-sampling",
    type=click.FloatRange(min=0, max=1),
    default=1.0,
    envvar="LLMBASE_TRACE_SAMPLING",
    show_default=True,
    show_envvar=True,
    help="Share of the traces that begin here and are recorded.",
)
@click.option(
    "--relay/--no-relay",
    "relay",
    default=True,
    envvar="LLMBASE_RELAY",
    show_default=True,
    show_envvar=True,
    help="Send calls over one stream, which costs less, if the service knows it.",
)
@click.option(
    "--metrics",
    envvar="LLMBASE_METRICS",
    show_envvar=True,
    help="Where metrics are read: HOST:PORT or unix:PATH. Default: nowhere.",
)
@click.option(
    "--notice",
    type=click.FloatRange(min=0),
    default=Settings().notice,
    envvar="LLMBASE_NOTICE",
    show_default=True,
    show_envvar=True,
    help="Seconds before that in which new calls are still taken, while /readyz says no.",
)
@workers_option
@log_level_option
def command(
    service: str,
    service_ca: Path | None,
    service_cert: Path | None,
    service_key: Path | None,
    http: str,
    drain: float,
    traces: str | None,
    trace_sampling: float,
    notice: float,
    relay: bool,
    metrics: str | None,
    workers: int,
    log_level: str,
    **door: Any,
) -> None:
    """Serve the REST door alone, in front of a service: the sidecar.

    Prints `ready http://HOST:PORT` (`https://`, with a certificate) once it listens, and after it
    `metrics HOST:PORT` where it was asked for. SIGINT and SIGTERM let open calls finish.
    """
    with one_line():
        log.to_stderr(log_level)
        told = replace(settings(**door), drain=drain, notice=notice, metrics=metrics or None)
        worker = this_worker(workers)
        if worker is None:
            supervise(workers, http=http, metrics=told.metrics)
            return
        tls = ServiceTls(service_ca, service_cert, service_key)
        over = RelayChannel if relay else None
        if not worker.alone:
            http, told = worker.http, replace(told, metrics=worker.metrics)
        told = replace(told, traces=_tracing(traces, trace_sampling))
        run(serve(service, http, told, tls, over, reuse_port=not worker.alone), worker.begin)


def _tracing(endpoint: str | None, sampling: float) -> TracingSettings | None:
    if not endpoint:
        return None
    return TracingSettings(endpoint, sampling, service="llmbase-gateway")
