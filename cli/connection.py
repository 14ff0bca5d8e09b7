"""How a command reaches a running service: address and key, the same options everywhere."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar

import click
import grpc

_LARGEST_MESSAGE = 64 * 2**20  # bytes, as the service takes

F = TypeVar("F", bound=Callable[..., Any])


def connection_options(function: F) -> F:
    """Add --grpc and --key."""
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


def open_channel(address: str) -> grpc.aio.Channel:
    """Return a channel to the service; it connects when it is first used."""
    return grpc.aio.insecure_channel(
        address,
        options=(
            ("grpc.max_receive_message_length", _LARGEST_MESSAGE),
            ("grpc.max_send_message_length", _LARGEST_MESSAGE),
        ),
    )


def metadata(key: str) -> tuple[tuple[str, str], ...]:
    """Return the metadata that says who calls."""
    return (("authorization", f"Bearer {key}"),) if key else ()
