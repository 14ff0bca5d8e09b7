"""Who calls: from an API key or a certificate to a caller. Keys are known by their hashes only."""

from __future__ import annotations

import hashlib
import hmac
import re
from collections.abc import Iterable, Sequence
from dataclasses import replace
from fnmatch import translate
from typing import Protocol

from service.accounts.caller import OPERATOR, Caller, Limits, SpendCap, allowing
from service.accounts.directory import AccountInfo
from service.config import AccessConfig, IdentityConfig, KeyConfig
from service.errors import InvalidApiKey, MissingApiKey
from service.money import from_dollars

_LEAST = 16  # printable characters of a key
_MOST = 512


class Directory(Protocol):
    """Knows the keys and accounts of the store; see `accounts.directory.KeyDirectory`."""

    async def find(self, sha256: str) -> Caller | None: ...  # noqa: D102

    async def account(self, account_id: str) -> AccountInfo | None: ...  # noqa: D102


class Authenticator:
    """Knows the configured keys and identities, and asks the directory for all others."""

    def __init__(
        self,
        keys: Iterable[KeyConfig],
        identities: Iterable[IdentityConfig] = (),
        directory: Directory | None = None,
    ) -> None:
        self._directory = directory
        self._keys = {key.sha256: _caller(f"static/{key.name}", key) for key in keys}
        self._identities = [
            (re.compile(translate(it.uri)), _caller(f"identity/{it.name}", it)) for it in identities
        ]

    async def caller(self, authorization: str | None, uris: Sequence[str] = ()) -> Caller:
        """Return who calls; a key that is sent counts before the certificate's `uris`.

        Raises MissingApiKey, InvalidApiKey and ServiceUnavailable (the store is away, and the key
        is not known).
        """
        if not authorization:
            return await self._with_account(self._identity(uris))
        scheme, _, key = authorization.partition(" ")
        key = key.strip()
        if scheme.lower() != "bearer" or not _LEAST <= len(key) <= _MOST or not key.isprintable():
            raise InvalidApiKey("Invalid API key")
        # Only digests are compared or looked up: the time taken says nothing about a key.
        digest = hashlib.sha256(key.encode()).hexdigest()
        for known, caller in self._keys.items():
            if hmac.compare_digest(known, digest):
                return await self._with_account(caller)
        found = await self._directory.find(digest) if self._directory is not None else None
        if found is None:
            raise InvalidApiKey("Invalid API key")
        return found

    def _identity(self, uris: Sequence[str]) -> Caller:
        for uri in uris:
            for pattern, caller in self._identities:
                if pattern.match(uri):
                    return caller
        raise MissingApiKey("No API key was sent: use the header `Authorization: Bearer KEY`.")

    async def _with_account(self, caller: Caller) -> Caller:
        """Return the caller with what the store says of its account."""
        if caller.account_id == OPERATOR or self._directory is None:
            return caller
        info = await self._directory.account(caller.account_id)
        if info is None:
            raise InvalidApiKey("Invalid API key")
        limits = replace(caller.limits, account_active=info.max_active)
        return replace(caller, prepaid=info.prepaid, limits=limits)


def _caller(key_id: str, access: AccessConfig) -> Caller:
    """Return the holder of a static key, or of an identity."""
    cap = access.spend_cap
    return Caller(
        access.name,
        key_id,
        allowing(access.models),
        access.account or OPERATOR,
        admin=access.admin,
        limits=Limits(
            None, access.max_active, access.requests_per_minute, access.tokens_per_minute
        ),
        cap=SpendCap(from_dollars(cap.usd), cap.period) if cap is not None else None,
    )
