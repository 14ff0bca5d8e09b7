"""How a command reaches a running service: address, key, TLS, the same options everywhere."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

import click
import grpc

_LARGEST_MESSAGE = 64 * 2**20  # bytes, as the service takes

_TLS = "llmbase.tls"  # where the context keeps the files: only the channel wants to know
_FILES = {
    "ca_file": "Who signed the service's certificate (PEM): it is spoken to with TLS.",
    "cert_file": "Our own certificate (PEM), with --key-file: it may stand for an API key.",
    "key_file": "The private key of --cert-file (PEM).",
}

F = TypeVar("F", bound=Callable[..., Any])


def connection_options(function: F) -> F:
    """Add --grpc, --key, --ca-file, --cert-file and --key-file."""
    for name, text in reversed(_FILES.items()):
        function = click.option(
            f"--{name.replace('_', '-')}",
            name,
            type=click.Path(exists=True, dir_okay=False, path_type=Path),
            envvar=f"LLMBASE_{name.upper()}",
            show_envvar=True,
            expose_value=False,
            callback=_keep,
            help=text,
        )(function)
    function = click.option(
        "--key",
        envvar="LLMBASE_API_KEY",
        show_envvar=True,
        default="",
        help="API key. Better given by the environment: a command line can be seen by others.",
    )(function)
    return click.option(
        "--grpc",
        "address",
        default="127.0.0.1:50051",
        envvar="LLMBASE_SERVICE",
        show_default=True,
        show_envvar=True,
        help="Where the service listens: HOST:PORT or unix:PATH.",
    )(function)


def _keep(context: click.Context, option: click.Parameter, path: Path | None) -> None:
    if path is not None and option.name is not None:
        context.meta.setdefault(_TLS, {})[option.name] = path


def open_channel(address: str) -> grpc.aio.Channel:
    """Return a channel to the service; it connects when it is first used."""
    options = (
        ("grpc.max_receive_message_length", _LARGEST_MESSAGE),
        ("grpc.max_send_message_length", _LARGEST_MESSAGE),
    )
    context = click.get_current_context(silent=True)
    files = {} if context is None else context.meta.get(_TLS, {})
    if not files:
        return grpc.aio.insecure_channel(address, options=options)
    if "ca_file" not in files:
        raise click.UsageError("--cert-file and --key-file need --ca-file")
    if ("cert_file" in files) != ("key_file" in files):
        raise click.UsageError("--cert-file and --key-file go together")
    return grpc.aio.secure_channel(address, _credentials(files), options=options)


def _credentials(files: dict[str, Path]) -> grpc.ChannelCredentials:
    read = {name: path.read_bytes() for name, path in files.items()}
    return grpc.ssl_channel_credentials(
        read["ca_file"], read.get("key_file"), read.get("cert_file")
    )


def metadata(key: str) -> tuple[tuple[str, str], ...]:
    """Return the metadata that says who calls."""
    return (("authorization", f"Bearer {key}"),) if key else ()
