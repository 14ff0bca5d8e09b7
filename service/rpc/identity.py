"""Who calls by certificate: from what gRPC has verified of a peer to a caller."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from typing import Any

import grpc

from service.accounts.caller import Caller, allowing
from service.config import AccountsConfig, IdentityConfig
from service.rpc.access import caller_of

# Not `x509_subject_alternative_name`: there a DNS name that reads like a URI is told apart no more.
# gRPC tells this one only of a certificate whose one URI is a SPIFFE id, as SPIFFE asks for.
_SPIFFE_ID = "peer_spiffe_id"


class Identities:
    """Knows the configured identities; the first whose pattern matches is the caller's."""

    def __init__(self, identities: Iterable[IdentityConfig], accounts: AccountsConfig) -> None:
        self._known: list[tuple[re.Pattern[str], Caller]] = [
            (allowing((it.uri,)), caller_of(f"identity/{it.name}", it, accounts))
            for it in identities
        ]

    def identity(self, uris: Sequence[str]) -> Caller | None:
        """Return whom a certificate with these URIs stands for; None: for nobody we know."""
        for pattern, caller in self._known:
            if any(pattern.match(uri) for uri in uris):
                return caller
        return None


def peer_uris(context: grpc.aio.ServicerContext[Any, Any]) -> tuple[str, ...]:
    """Return the SPIFFE id of the peer's certificate: none without one, and none in process."""
    told = context.auth_context().get(_SPIFFE_ID, ())
    return tuple(uri.decode("utf-8", "replace") for uri in told)
