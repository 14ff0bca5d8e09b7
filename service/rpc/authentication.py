"""Who calls: from an API key or a certificate to a caller. Keys are known by their hashes only."""

from __future__ import annotations

from collections.abc import Awaitable, Iterable, Sequence
from dataclasses import replace
from typing import Protocol

from service.accounts.caller import OPERATOR, Caller
from service.accounts.directory import AccountInfo
from service.config import AccountsConfig, IdentityConfig, KeyConfig
from service.errors import InvalidApiKey, MissingApiKey
from service.rpc.access import caller_of
from service.rpc.digests import Digests
from service.rpc.identity import Identities


class Directory(Protocol):
    """Knows the keys and accounts of the store; see `accounts.directory.KeyDirectory`."""

    async def find(self, sha256: str) -> Caller | None: ...  # noqa: D102

    async def account(self, account_id: str) -> AccountInfo | None: ...  # noqa: D102


class Authenticator:
    """Knows the configured keys and identities, and asks the directory for all others."""

    def __init__(
        self,
        keys: Iterable[KeyConfig],
        accounts: AccountsConfig | None = None,
        identities: Iterable[IdentityConfig] = (),
        directory: Directory | None = None,
    ) -> None:
        accounts = accounts or AccountsConfig()
        self._callers = {key.sha256: caller_of(f"static/{key.name}", key, accounts) for key in keys}
        # Of whom the store says nothing more.
        self._whole = {
            digest: caller
            for digest, caller in self._callers.items()
            if caller.account_id == OPERATOR or directory is None
        }
        self._digests = Digests()
        self._identities = Identities(identities, accounts)
        self._directory = directory

    async def caller(self, authorization: str | None, uris: Sequence[str] = ()) -> Caller:
        """Return who calls, for who waits in any case; see `look_up`."""
        found = self.look_up(authorization, uris)
        return found if isinstance(found, Caller) else await found

    def look_up(
        self, authorization: str | None, uris: Sequence[str] = ()
    ) -> Caller | Awaitable[Caller]:
        """Return who holds the key, else whom the certificate's URIs stand for.

        What the configuration does not say of it is waited for. Who sends a key is its holder, and
        nobody when it is wrong, whatever the certificate says. Raises MissingApiKey, InvalidApiKey,
        and ServiceUnavailable when the store is away and the key is not known. Only digests are
        looked up: the time taken says nothing about a key.
        """
        if not authorization:
            if (identity := self._identities.identity(uris)) is not None:
                return self._with_account(identity)
            raise MissingApiKey("No API key was sent: use the header `Authorization: Bearer KEY`.")
        digest = self._digests.of(authorization)
        return self._whole.get(digest) or self._stored(digest)

    async def _stored(self, digest: str) -> Caller:
        """Return who holds the key by what the store says."""
        if (caller := self._callers.get(digest)) is not None:
            return await self._with_account(caller)
        found = await self._directory.find(digest) if self._directory is not None else None
        if found is None:
            raise InvalidApiKey("Invalid API key")
        return found

    async def _with_account(self, caller: Caller) -> Caller:
        """Return the caller with what the store says of its account."""
        if caller.account_id == OPERATOR or self._directory is None:
            return caller
        info = await self._directory.account(caller.account_id)
        if info is None:
            return caller
        limits = replace(caller.limits, account_active=info.max_active)
        return replace(caller, prepaid=info.prepaid, limits=limits)
