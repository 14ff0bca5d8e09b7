"""Who calls: from the `authorization` metadata to a caller. Keys are known by their hashes only."""

from __future__ import annotations

import hashlib
import hmac
from collections.abc import Iterable, Sequence

from service.accounts.caller import Caller
from service.config import AccountsConfig, IdentityConfig, KeyConfig
from service.errors import InvalidApiKey, MissingApiKey
from service.rpc.access import caller_of
from service.rpc.identity import Identities

_LEAST = 16  # printable characters of a key
_MOST = 512


class Authenticator:
    """Knows the configured keys and identities."""

    def __init__(
        self,
        keys: Iterable[KeyConfig],
        accounts: AccountsConfig | None = None,
        identities: Iterable[IdentityConfig] = (),
    ) -> None:
        accounts = accounts or AccountsConfig()
        self._callers = {key.sha256: caller_of(f"static/{key.name}", key, accounts) for key in keys}
        self._identities = Identities(identities, accounts)

    def caller(self, authorization: str | None, uris: Sequence[str] = ()) -> Caller:
        """Return who holds the key, else whom the certificate's URIs stand for.

        Who sends a key is its holder, and nobody when it is wrong, whatever the certificate says.
        Raises MissingApiKey, InvalidApiKey. Digests are compared, each in constant time: the time
        taken says nothing about a key.
        """
        if not authorization:
            if (identity := self._identities.identity(uris)) is not None:
                return identity
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
