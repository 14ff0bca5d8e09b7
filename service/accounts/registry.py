"""Accounts and keys: what may be done with them, each as one transaction.

What keys and accounts are is counted in `changes`, so that every replica sees that it changed.
"""

from __future__ import annotations

import contextlib
import random
from collections.abc import AsyncIterator, Callable, Iterator
from datetime import UTC, datetime, timedelta

from llmbase.v1 import account_pb2 as pb
from sqlalchemy import update
from sqlalchemy.ext.asyncio import AsyncConnection

from service.accounts import account_rows, key_rows, usage
from service.accounts.directory import REVISION, KeyDirectory
from service.accounts.paging import USUAL, from_token, to_token
from service.errors import InvalidRequest, ServiceUnavailable
from service.store.database import Database, StoreDown
from service.store.tables import CHANGES

_USUAL_DAYS = 30
_ALL_MODELS = ("*",)


class Registry:
    """`now` gives Unix seconds; `chance` makes keys: the system's own, unless for a test.

    Requests have been checked; what only the store knows is checked here. Every method raises
    ServiceUnavailable when the store is away.
    """

    def __init__(
        self,
        database: Database,
        directory: KeyDirectory,
        now: Callable[[], float],
        chance: random.Random,
    ) -> None:
        self._database = database
        self._directory = directory
        self._now = now
        self._chance = chance

    async def create_account(self, request: pb.CreateAccountRequest) -> pb.Account:
        """Make an account without money. Raises AlreadyExists."""
        account = pb.Account(
            id=request.id,
            created=int(self._now()),
            prepaid=request.prepaid if request.HasField("prepaid") else True,
            max_active=request.max_active if request.HasField("max_active") else None,
        )
        async with self._changing() as connection:
            await account_rows.add(connection, account)
        return account

    async def list_accounts(self, request: pb.ListAccountsRequest) -> pb.ListAccountsResponse:
        """Return a page of accounts. Raises InvalidRequest (the token)."""
        size, (after,) = request.page_size or USUAL, from_token(request.page_token, 1) or ("",)
        async with self._reading() as connection:
            accounts = await account_rows.page(connection, size + 1, after)
        more = to_token([accounts[size - 1].id]) if len(accounts) > size else ""
        return pb.ListAccountsResponse(accounts=accounts[:size], next_page_token=more)

    async def account(self, account_id: str) -> pb.Account:
        """Return an account, with what it has left. Raises AccountNotFound."""
        async with self._reading() as connection:
            return await account_rows.find(connection, account_id)

    async def credit(self, request: pb.CreditAccountRequest) -> pb.Account:
        """Add money, or take some back; once under one id.

        Raises AccountNotFound, AlreadyExists, InvalidRequest.
        """
        if not request.credit_id:
            fresh = pb.CreditAccountRequest(credit_id=f"credit_{self._chance.randbytes(12).hex()}")
            fresh.MergeFrom(request)
            request = fresh
        # Nobody remembers balances: this is no change that replicas have to see.
        async with self._transaction() as connection:
            return await account_rows.credit(connection, request, int(self._now()))

    async def create_key(self, request: pb.CreateKeyRequest) -> tuple[pb.Key, str]:
        """Make a key; return what is kept of it, and the key itself.

        Raises AccountNotFound, InvalidRequest (it would have ended already).
        """
        now = int(self._now())
        if request.HasField("expires") and request.expires <= now:
            raise InvalidRequest("expires", f"must be a time to come, in Unix seconds: after {now}")
        key = pb.Key(
            id=key_rows.new_id(self._chance),
            account=request.account,
            name=request.name,
            models=request.models or _ALL_MODELS,
            spend_cap=request.spend_cap if request.HasField("spend_cap") else None,
            created=now,
            admin=request.admin,
        )
        for field in ("requests_per_minute", "tokens_per_minute", "max_active", "expires"):
            if request.HasField(field):
                setattr(key, field, getattr(request, field))
        secret = key_rows.new_secret(self._chance)
        async with self._changing() as connection:
            await account_rows.find(connection, request.account)
            await key_rows.add(connection, key, secret)
        return key, secret

    async def list_keys(self, request: pb.ListKeysRequest) -> pb.ListKeysResponse:
        """Return a page of keys. Raises AccountNotFound, InvalidRequest (the token)."""
        size, (after,) = request.page_size or USUAL, from_token(request.page_token, 1) or ("",)
        async with self._reading() as connection:
            if request.account:
                await account_rows.find(connection, request.account)
            keys = await key_rows.page(connection, request.account, size + 1, after)
        more = to_token([keys[size - 1].id]) if len(keys) > size else ""
        return pb.ListKeysResponse(keys=keys[:size], next_page_token=more)

    async def revoke(self, key_id: str) -> pb.Key:
        """End a key now. One that has ended stays as it is. Raises KeyNotFound."""
        async with self._changing() as connection:
            key = await key_rows.find(connection, key_id)
            await key_rows.end(connection, key, int(self._now()))
        return key

    async def rotate(self, request: pb.RotateKeyRequest) -> tuple[pb.Key, str]:
        """Make a key that may do what another may, which ends after the overlap.

        Raises KeyNotFound, InvalidRequest (the other one has ended already).
        """
        now = int(self._now())
        secret = key_rows.new_secret(self._chance)
        async with self._changing() as connection:
            old = await key_rows.find(connection, request.id)
            for field in ("expires", "revoked"):
                if old.HasField(field) and getattr(old, field) <= now:
                    raise InvalidRequest("id", "must be of a key that has not ended")
            new = pb.Key()
            new.CopyFrom(old)
            new.id, new.created = key_rows.new_id(self._chance), now
            new.ClearField("revoked")
            await key_rows.add(connection, new, secret)
            await key_rows.inherit_spending(connection, old.id, new.id)
            await key_rows.end(connection, old, now + request.overlap_seconds)
        return new, secret

    async def list_usage(
        self, request: pb.ListUsageRequest, account_id: str | None
    ) -> pb.ListUsageResponse:
        """Return a page of sums of an account; None: of all.

        Raises AccountNotFound, InvalidRequest (the token).
        """
        groups = tuple(request.group_by) or (pb.USAGE_GROUP_DAY,)
        size, after = request.page_size or USUAL, from_token(request.page_token, len(groups))
        today = datetime.fromtimestamp(self._now(), UTC).date()
        since = request.from_day or str(today - timedelta(days=_USUAL_DAYS))
        days = (since, request.to_day or str(today))
        async with self._reading() as connection:
            if account_id is not None:
                await account_rows.find(connection, account_id)
            rows = await usage.page(connection, account_id, days, groups, size + 1, after)
        more = to_token(usage.place(rows[size - 1], groups)) if len(rows) > size else ""
        return pb.ListUsageResponse(rows=rows[:size], next_page_token=more)

    @contextlib.asynccontextmanager
    async def _changing(self) -> AsyncIterator[AsyncConnection]:
        """A transaction that replicas are to see; this process sees it when it has ended."""
        async with self._transaction() as connection:
            # First: one change at a time, so that what is looked at stays so until it is written.
            counted = await connection.execute(
                update(CHANGES)
                .where(CHANGES.c.name == REVISION)
                .values(revision=CHANGES.c.revision + 1)
                .returning(CHANGES.c.revision)
            )
            revision = counted.scalar_one()
            yield connection
        self._directory.changed(revision)

    @contextlib.asynccontextmanager
    async def _transaction(self) -> AsyncIterator[AsyncConnection]:
        with _told():
            async with self._database.transaction() as connection:
                yield connection

    @contextlib.asynccontextmanager
    async def _reading(self) -> AsyncIterator[AsyncConnection]:
        with _told():
            async with self._database.reading() as connection:
                yield connection


@contextlib.contextmanager
def _told() -> Iterator[None]:
    try:
        yield
    except StoreDown:
        raise ServiceUnavailable(
            "The store of accounts does not answer. Retry the request.", retry_after=1.0
        ) from None
