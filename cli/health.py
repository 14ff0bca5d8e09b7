"""`llmbase health`: whether the doors on this machine take calls, for an image to ask."""

from __future__ import annotations

import http.client
import socket

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
def command(rest: str, grpc_addresses: tuple[str, ...]) -> None:
    """Say whether the doors on this machine take calls.

    A door that nobody opened does not count, so that one question fits the service, the gateway
    and both in one process. Exit code 1: none is open, or one that is takes no calls.
    """
    with one_line():
        doors = [("http", _own(rest), _http_ready)]
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


def _http_ready(address: Address) -> bool:
    """Return whether GET /readyz answers 200."""
    connection = http.client.HTTPConnection("localhost", timeout=_PATIENCE)
    try:
        connection.sock = _connect(address)
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
