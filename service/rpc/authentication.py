"""Who calls: from the `authorization` metadata to a caller. Keys are known by their hashes only."""

from __future__ import annotations

import hashlib
import hmac
from collections.abc import Iterable

from service.accounts.caller import OPERATOR, Caller, Limits, SpendCap, allowing
from service.config import AccessConfig, AccountsConfig, KeyConfig
from service.errors import InvalidApiKey, MissingApiKey
from service.money import from_dollars

_LEAST = 16  # printable characters of a key
_MOST = 512


class Authenticator:
    """Knows the configured keys."""

    def __init__(self, keys: Iterable[KeyConfig], accounts: AccountsConfig | None = None) -> None:
        self._callers = {
            key.sha256: _caller(f"static/{key.name}", key, accounts or AccountsConfig())
            for key in keys
        }

    def caller(self, authorization: str | None) -> Caller:
        """Return who holds the key. Raises MissingApiKey, InvalidApiKey.

        Digests are compared, each in constant time: the time taken says nothing about a key.
        """
        if not authorization:
            raise MissingApiKey("No API key was sent: use the header `Authorization: Bearer KEY`.")
        scheme, _, key = authorization.partition(" ")
        key = key.strip()
        if scheme.lower() != "bearer" or not _LEAST <= len(key) <= _MOST or not key.isprintable():
            raise InvalidApiKey("Invalid API key")
        digest = hashlib.sha256(key.encode()).hexdigest()
        for known, caller in self._callers.items():
            if hmac.compare_digest(known, digest):
                return caller
        raise InvalidApiKey("Invalid API key")


def _caller(key_id: str, access: AccessConfig, accounts: AccountsConfig) -> Caller:
    """Return the holder of a static key, or of an identity. Who pays for nothing is not bounded."""
    pays = access.account is not None
    cap = access.spend_cap
    return Caller(
        access.name,
        key_id,
        allowing(access.models),
        access.account or OPERATOR,
        prepaid=pays,
        admin=access.admin,
        limits=Limits(
            accounts.max_active if pays else None,
            access.max_active,
            access.requests_per_minute,
            access.tokens_per_minute,
        ),
        cap=SpendCap(from_dollars(cap.usd), cap.period) if cap is not None else None,
    )
