"""`llmbase health`: whether the doors on this machine take calls, for an image to ask."""

from __future__ import annotations

import http.client
import socket
import ssl
from collections.abc import Callable
from functools import partial
from pathlib import Path

import click
import grpc
from grpc_health.v1.health_pb2 import HealthCheckRequest, HealthCheckResponse
from grpc_health.v1.health_pb2_grpc import HealthStub

from cli.faults import one_line
from gateway.address import Address, TcpAddress, parse_address

_SERVICE = "llmbase.v1.ChatCompletionService"
_PATIENCE = 4.0  # seconds; more than the REST door takes to find its service silent
_ANY = {"0.0.0.0": "127.0.0.1", "::": "::1"}  # noqa: S104 - what was bound, not what we bind


@click.command("health")
@click.option(
    "--http",
    "rest",
    default="127.0.0.1:8080",
    envvar="LLMBASE_HTTP",
    show_default=True,
    show_envvar=True,
    help="Where REST listens: HOST:PORT or unix:PATH.",
)
@click.option(
    "--grpc",
    "grpc_addresses",
    multiple=True,
    default=("127.0.0.1:50051",),
    envvar="LLMBASE_GRPC",
    show_default=True,
    show_envvar=True,
    help="Where gRPC listens: HOST:PORT or unix:PATH; may be repeated.",
)
@click.option(
    "--tls-cert",
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
    envvar="LLMBASE_TLS_CERT",
    show_envvar=True,
    help="The certificate of the REST door (PEM): it is asked with TLS.",
)
def command(rest: str, grpc_addresses: tuple[str, ...], tls_cert: Path | None) -> None:
    """Say whether the doors on this machine take calls.

    A door that nobody opened does not count, so that one question fits the service, the gateway
    and both in one process. Exit code 1: none is open, or one that is takes no calls.
    """
    with one_line():
        ask = partial(_http_ready, tls=None if tls_cert is None else _trusting(tls_cert))
        doors: list[tuple[str, Address, Callable[[Address], bool]]]
        doors = [("http", _own(rest), ask)]
        doors += [("grpc", _own(text), _grpc_ready) for text in grpc_addresses]
        answers = []
        for name, address, ready in doors:
            if _listens(address):
                answers.append(ready(address))
                click.echo(f"{name} {address}: {'ready' if answers[-1] else 'not ready'}")
    if not answers:
        raise click.ClickException("Nothing listens.")
    if not all(answers):
        raise SystemExit(1)


def _own(text: str) -> Address:
    """Return where to reach what listens at `text`. Raises ValueError."""
    address = parse_address(text)
    if isinstance(address, TcpAddress) and address.host in _ANY:
        return TcpAddress(_ANY[address.host], address.port)
    return address


def _connect(address: Address) -> socket.socket:
    if isinstance(address, TcpAddress):
        return socket.create_connection(address, _PATIENCE)
    connection = socket.socket(socket.AF_UNIX)
    connection.settimeout(_PATIENCE)
    try:
        connection.connect(address.path)
    except BaseException:
        connection.close()
        raise
    return connection


def _listens(address: Address) -> bool:
    try:
        _connect(address).close()
    except OSError:
        return False
    return True


def _trusting(certificate: Path) -> ssl.SSLContext:
    """Trust this certificate alone, whatever it is for: it is this machine's own."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.verify_flags |= ssl.VERIFY_X509_PARTIAL_CHAIN
    context.load_verify_locations(certificate)
    return context


def _http_ready(address: Address, tls: ssl.SSLContext | None) -> bool:
    """Return whether GET /readyz answers 200."""
    connection = http.client.HTTPConnection("localhost", timeout=_PATIENCE)
    try:
        plain = _connect(address)
        connection.sock = plain if tls is None else tls.wrap_socket(plain)
        connection.request("GET", "/readyz")
        return connection.getresponse().status == http.client.OK
    except (OSError, http.client.HTTPException):
        return False
    finally:
        connection.close()


def _grpc_ready(address: Address) -> bool:
    """Return whether grpc.health.v1 says SERVING."""
    with grpc.insecure_channel(str(address)) as channel:
        try:
            answer = HealthStub(channel).Check(
                HealthCheckRequest(service=_SERVICE), timeout=_PATIENCE
            )
        except grpc.RpcError:
            return False
    return bool(answer.status == HealthCheckResponse.SERVING)
