"""Who holds a key, and what is known of an account: from the store, remembered for a moment.

A change is felt in every replica within `accounts.key_age`, and within half of it while the store
answers. Times that lie ahead (a key's end) are compared at every call, whatever is remembered.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, NoReturn

from sqlalchemy import Row, Select, bindparam, select

from service.accounts.cache import PATIENCE, Cache
from service.accounts.caller import OPERATOR, Caller, Limits, SpendCap, allowing
from service.accounts.freshness import Freshness
from service.config import AccountsConfig
from service.money import Nanos
from service.store.database import Database, StoreDown
from service.store.tables import ACCOUNTS, CHANGES, KEYS

REVISION = "accounts"  # the row of `changes` that counts changes of keys and accounts

_MOST = 10_000  # keys that are remembered; as many wrong ones; as many accounts
_IDLE = 3600.0  # seconds

_FIND_REVISION = select(CHANGES.c.revision).where(CHANGES.c.name == REVISION)
_FIND_ACCOUNT = (
    select(CHANGES.c.revision, ACCOUNTS.c.id, ACCOUNTS.c.prepaid, ACCOUNTS.c.max_active)
    .select_from(CHANGES.outerjoin(ACCOUNTS, ACCOUNTS.c.id == bindparam("name")))
    .where(CHANGES.c.name == REVISION)
)
# One statement sees one state: the key is never older than the revision beside it.
_FIND_KEY = (
    select(
        CHANGES.c.revision,
        KEYS,
        ACCOUNTS.c.prepaid,
        ACCOUNTS.c.max_active.label("account_active"),
    )
    .select_from(
        CHANGES.outerjoin(KEYS, KEYS.c.sha256 == bindparam("name")).outerjoin(
            ACCOUNTS, ACCOUNTS.c.id == KEYS.c.account_id
        )
    )
    .where(CHANGES.c.name == REVISION)
)


@dataclass(frozen=True, slots=True)
class AccountInfo:
    """What a call needs to know of an account. `max_active` None: not bounded."""

    account_id: str
    prepaid: bool
    max_active: int | None


@dataclass(frozen=True, slots=True)
class _Key:
    caller: Caller
    ends: int | None  # Unix seconds: when it expires or is revoked, whatever comes first


class KeyDirectory:
    """`now` gives Unix seconds, `clock` monotonic ones. Without a database nobody is known."""

    def __init__(
        self,
        database: Database | None,
        accounts: AccountsConfig,
        now: Callable[[], float],
        clock: Callable[[], float],
    ) -> None:
        self._database = database
        self._config = accounts
        self._now = now
        self._clock = clock
        self._freshness = Freshness(accounts.key_age, clock)
        self._keys = Cache(self._read_key, self._freshness, clock, _MOST)
        self._accounts = Cache(self._read_account, self._freshness, clock, _MOST)

    async def find(self, sha256: str) -> Caller | None:
        """Return who holds the key of a digest; None: nobody, or no longer.

        Raises ServiceUnavailable: the store is away, and the key was never seen.
        """
        if self._database is None:
            return None
        key = await self._keys.get(sha256)
        if key is None or (key.ends is not None and self._now() >= key.ends):
            return None
        return key.caller

    async def account(self, account_id: str) -> AccountInfo | None:
        """Return what is known of an account. Raises ServiceUnavailable, as `find` does."""
        if self._database is None:
            return None
        return await self._accounts.get(account_id)

    def configure(self, accounts: AccountsConfig) -> None:
        """Go on with another configuration."""
        self._config = accounts
        self._freshness.age = accounts.key_age
        self._keys.forget()
        self._accounts.forget()

    def changed(self, revision: int) -> None:
        """Take note of a change that this process made: it is felt here at once."""
        self._freshness.changed(revision)

    async def run(self) -> NoReturn:
        """Look for changes, as long as the process lives."""
        while True:
            await asyncio.sleep(self._freshness.age / 2 if self._database is not None else _IDLE)
            await self.look()

    async def look(self) -> None:
        """Look whether anything has changed."""
        if self._database is None:
            return
        began = self._clock()
        try:
            async with asyncio.timeout(PATIENCE):
                row = await self._first(_FIND_REVISION)
        except (StoreDown, TimeoutError):
            self._freshness.lost()
        else:
            self._freshness.saw(row.revision, began)

    async def _read_key(self, sha256: str) -> tuple[int, _Key | None]:
        row = await self._first(_FIND_KEY, name=sha256)
        return row.revision, self._key(row) if row.id is not None else None

    async def _read_account(self, account_id: str) -> tuple[int, AccountInfo | None]:
        row = await self._first(_FIND_ACCOUNT, name=account_id)
        if row.id is None:
            return row.revision, None
        active = self._account_active(row.id, row.max_active)
        return row.revision, AccountInfo(row.id, row.prepaid, active)

    async def _first(self, statement: Select[Any], **values: str) -> Row[Any]:
        if self._database is None:
            raise StoreDown("there is none")
        async with self._database.reading() as connection:
            row: Row[Any] | None = (await connection.execute(statement, values)).first()
        if row is None:
            raise StoreDown("it has no revision")
        return row

    def _key(self, row: Row[Any]) -> _Key:
        cap = SpendCap(Nanos(row.cap_nanos), row.cap_period) if row.cap_period else None
        limits = Limits(
            self._account_active(row.account_id, row.account_active),
            row.max_active,
            row.requests_per_minute,
            row.tokens_per_minute,
        )
        allowed = allowing(tuple(json.loads(row.models)))
        caller = Caller(
            row.name, row.id, allowed, row.account_id, row.prepaid, row.admin, limits, cap
        )
        ends = [time for time in (row.expires, row.revoked) if time is not None]
        return _Key(caller, min(ends, default=None))

    def _account_active(self, account_id: str, own: int | None) -> int | None:
        """Who pays for nothing is only bounded where the account itself says so."""
        if own is None and account_id != OPERATOR:
            return self._config.max_active
        return own
