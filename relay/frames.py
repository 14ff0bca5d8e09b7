"""What gRPC knows of a call, as the relay's frames have it, and back. Pure.

What is sent is given as the fields of a frame: a message made beforehand would be copied into it.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from itertools import chain
from typing import Any, Final, cast

import grpc
from llmbase.relay.v1 import relay_pb2

from channel.metadata import Entries, received, received_texts
from channel.status import Status

# Bytes. The window is HTTP/2's; it holds two parts, so that one is on its way while one is read.
WINDOW: Final = 64 * 1024
PART: Final = 32 * 1024
LARGEST_REQUEST: Final = 256 * 1024  # in one piece, and each part of a larger one
# Of a status, or of a call's or an answer's first metadata; gRPC's own limit is lower. More would
# block the stream.
LARGEST_METADATA: Final = 64 * 1024
# What a message costs beside its content: many tiny ones are to be bounded, too.
PER_MESSAGE: Final = 64

_CODES: Final = {code.value[0]: code for code in grpc.StatusCode}
_MICROSECONDS: Final = 1_000_000
_FOR_EVER: Final = 2.0**62  # microseconds


def to_wire(entries: Entries) -> list[dict[str, Any]]:
    """Metadata as frames carry it."""
    return [
        {"key": key, "value": value if isinstance(value, bytes) else value.encode("ascii")}
        for key, value in entries
    ]


def from_wire(entries: Iterable[relay_pb2.MetadataEntry]) -> Entries:
    """Metadata as it came. Raises as `received` does for what gRPC would not have carried."""
    # Decoded here, or `received` would have to change it all.
    return received(
        tuple(
            [
                (key := it.key, it.value if key.endswith("-bin") else it.value.decode("latin-1"))
                for it in entries
            ]
        )
    )


def to_texts(entries: Entries) -> list[str] | None:
    """Metadata as whole requests and answers carry it; None if some is bytes, which they cannot."""
    texts = cast("list[str]", [*chain.from_iterable(entries)])
    try:
        "".join(texts)
    except TypeError:
        return None
    return texts


def from_texts(texts: Sequence[str]) -> Entries:
    """Metadata as it came in one. Raises as `received_texts`."""
    return received_texts(texts[:]) if texts else ()


def size_of(entries: Entries) -> int:
    """Bytes of keys and values."""
    return sum(map(len, chain.from_iterable(entries)))


def microseconds(seconds: float | None) -> int | None:
    """A timeout as `Open` has it."""
    return None if seconds is None else max(1, int(min(seconds * _MICROSECONDS, _FOR_EVER)))


def timeout_of(opened: relay_pb2.Open | relay_pb2.WholeRequest) -> float | None:
    """The seconds that a call has; None without a deadline."""
    return opened.timeout_us / _MICROSECONDS if opened.HasField("timeout_us") else None


def status_to_wire(status: Status) -> dict[str, Any]:
    """How a call ended, as a frame says it."""
    return {
        "code": status.code.value[0],
        "details": status.details,
        "trailing_metadata": to_wire(status.trailing_metadata),
    }


def status_from_wire(status: relay_pb2.Status) -> Status:
    """How a call ended; a number that gRPC does not have is UNKNOWN, as over HTTP/2."""
    code = _CODES.get(status.code, grpc.StatusCode.UNKNOWN)
    return Status(code, status.details, from_wire(status.trailing_metadata))


def too_large(verb: str, size: int, limit: int) -> Status:
    """In the words that gRPC has for a message over the limit."""
    return Status(
        grpc.StatusCode.RESOURCE_EXHAUSTED, f"{verb} message larger than max ({size} vs. {limit})"
    )
