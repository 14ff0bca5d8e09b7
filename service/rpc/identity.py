"""Who is at the other end of a connection, by its certificate."""

from __future__ import annotations

from typing import Any

import grpc

_NAMES = "x509_subject_alternative_name"
_SCHEME = b"spiffe://"


def uris(context: grpc.aio.ServicerContext[Any, Any]) -> tuple[str, ...]:
    """Return the SPIFFE ids of the peer's certificate; none where there is no certificate."""
    names = context.auth_context().get(_NAMES, ())
    return tuple(name.decode() for name in names if name.startswith(_SCHEME))
