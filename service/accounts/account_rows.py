"""Accounts and their credits as rows; each function is a part of a transaction."""

from __future__ import annotations

from typing import Any

from llmbase.v1 import account_pb2 as pb
from sqlalchemy import Row, insert, select, update
from sqlalchemy.ext.asyncio import AsyncConnection

from service.errors import AccountNotFound, AlreadyExists, InvalidRequest
from service.money import Nanos
from service.store.tables import ACCOUNTS, CREDITS

_MOST = Nanos(4 * 10**18)  # on one account: 4 billion dollars still fit into 64 bits with credits


async def add(connection: AsyncConnection, account: pb.Account) -> None:
    """Make an account without money. Raises AlreadyExists."""
    known = select(ACCOUNTS.c.id).where(ACCOUNTS.c.id == account.id)
    if (await connection.execute(known)).first() is not None:
        raise AlreadyExists(f"There is an account {account.id} already.")
    await connection.execute(
        insert(ACCOUNTS).values(
            id=account.id,
            created=account.created,
            prepaid=account.prepaid,
            max_active=account.max_active if account.HasField("max_active") else None,
        )
    )


async def find(connection: AsyncConnection, account_id: str, *, lock: bool = False) -> pb.Account:
    """Return an account; `lock` keeps it as it is until the transaction ends.

    Raises AccountNotFound.
    """
    statement = select(ACCOUNTS).where(ACCOUNTS.c.id == account_id)
    row = (await connection.execute(statement.with_for_update() if lock else statement)).first()
    if row is None:
        raise AccountNotFound(f"There is no account {account_id}.")
    return _to_proto(row)


async def page(connection: AsyncConnection, size: int, after: str) -> list[pb.Account]:
    """Return the next accounts after an id, ordered by id."""
    statement = select(ACCOUNTS).where(ACCOUNTS.c.id > after).order_by(ACCOUNTS.c.id).limit(size)
    return [_to_proto(row) for row in await connection.execute(statement)]


async def credit(
    connection: AsyncConnection, request: pb.CreditAccountRequest, now: int
) -> pb.Account:
    """Add money, or take some back, once under one id; return the account after it.

    Raises AccountNotFound, AlreadyExists (another credit has the id), InvalidRequest.
    """
    account = await find(connection, request.account, lock=True)
    known = select(CREDITS).where(CREDITS.c.id == request.credit_id)
    if (earlier := (await connection.execute(known)).first()) is not None:
        if (earlier.account_id, earlier.amount_nanos) != (request.account, request.amount_nanos):
            raise AlreadyExists(f"Another credit has the id {request.credit_id} already.")
        return account
    _check_amount(account, request.amount_nanos)
    await connection.execute(
        insert(CREDITS).values(
            id=request.credit_id,
            account_id=request.account,
            at=now,
            amount_nanos=request.amount_nanos,
            note=request.note,
        )
    )
    await connection.execute(
        update(ACCOUNTS)
        .where(ACCOUNTS.c.id == request.account)
        .values(balance_nanos=ACCOUNTS.c.balance_nanos + request.amount_nanos)
    )
    account.balance_nanos += request.amount_nanos
    return account


def _check_amount(account: pb.Account, amount: int) -> None:
    """What open calls hold cannot be taken back: it may be spent by now."""
    free = account.balance_nanos - account.reserved_nanos
    if amount < 0 and account.prepaid and free + amount < 0:
        raise InvalidRequest("amount_nanos", f"must not take back more than is left: {free}")
    if abs(account.balance_nanos + amount) > _MOST:
        raise InvalidRequest("amount_nanos", f"must leave at most {_MOST} on the account")


def _to_proto(row: Row[Any]) -> pb.Account:
    return pb.Account(
        id=row.id,
        created=row.created,
        prepaid=row.prepaid,
        balance_nanos=row.balance_nanos,
        reserved_nanos=row.reserved_nanos,
        max_active=row.max_active,
    )
