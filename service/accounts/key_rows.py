"""API keys as rows; each function is a part of a transaction. A key itself is in none of them."""

from __future__ import annotations

import base64
import hashlib
import json
import random
from typing import Any

from llmbase.v1 import account_pb2 as pb
from sqlalchemy import Row, insert, literal, select, update
from sqlalchemy.ext.asyncio import AsyncConnection

from service.errors import KeyNotFound
from service.store.tables import KEY_SPEND, KEYS

_SECRET_BYTES = 32  # 43 characters
_ID_BYTES = 12  # 24 hex digits
_PREFIX = 12  # characters that a key is known by: of its randomness it tells 4
_PERIOD = "SPEND_PERIOD_"


def new_secret(chance: random.Random) -> str:
    """Return a fresh key: `llmbase_` and 43 random characters. `chance` is the system's own."""
    random_part = base64.urlsafe_b64encode(chance.randbytes(_SECRET_BYTES)).rstrip(b"=")
    return f"llmbase_{random_part.decode()}"


def new_id(chance: random.Random) -> str:
    """Return a fresh id of a key."""
    return f"key_{chance.randbytes(_ID_BYTES).hex()}"


async def add(connection: AsyncConnection, key: pb.Key, secret: str) -> None:
    """Keep a key: its hash, and what `key` says of it; `key.prefix` is set."""
    key.prefix = secret[:_PREFIX]
    cap = key.spend_cap if key.HasField("spend_cap") else None
    await connection.execute(
        insert(KEYS).values(
            id=key.id,
            account_id=key.account,
            name=key.name,
            prefix=key.prefix,
            sha256=hashlib.sha256(secret.encode()).hexdigest(),
            models=json.dumps(list(key.models)),
            cap_nanos=cap.amount_nanos if cap is not None else None,
            cap_period=_period_name(cap.period) if cap is not None else None,
            requests_per_minute=_optional(key, "requests_per_minute"),
            tokens_per_minute=_optional(key, "tokens_per_minute"),
            max_active=_optional(key, "max_active"),
            created=key.created,
            expires=_optional(key, "expires"),
            admin=key.admin,
        )
    )


async def find(connection: AsyncConnection, key_id: str) -> pb.Key:
    """Return a key, which stays as it is until the transaction ends. Raises KeyNotFound."""
    statement = select(KEYS).where(KEYS.c.id == key_id).with_for_update()
    row = (await connection.execute(statement)).first()
    if row is None:
        raise KeyNotFound(f"There is no API key {key_id}.")
    return _to_proto(row)


async def page(connection: AsyncConnection, account_id: str, size: int, after: str) -> list[pb.Key]:
    """Return the next keys after an id, ordered by id; of all accounts, if none is named."""
    statement = select(KEYS).where(KEYS.c.id > after).order_by(KEYS.c.id).limit(size)
    if account_id:
        statement = statement.where(KEYS.c.account_id == account_id)
    return [_to_proto(row) for row in await connection.execute(statement)]


async def end(connection: AsyncConnection, key: pb.Key, at: int) -> None:
    """End a key at a time, unless it ends before; `key.revoked` is set."""
    if key.HasField("revoked") and key.revoked <= at:
        return
    key.revoked = at
    await connection.execute(update(KEYS).where(KEYS.c.id == key.id).values(revoked=at))


async def inherit_spending(connection: AsyncConnection, old: str, new: str) -> None:
    """Have a key begin with what another has spent: a rotation gives no second allowance."""
    spent = select(literal(new), KEY_SPEND.c.period, KEY_SPEND.c.spent_nanos).where(
        KEY_SPEND.c.key_id == old
    )
    columns = ["key_id", "period", "spent_nanos"]
    await connection.execute(insert(KEY_SPEND).from_select(columns, spent))


def _to_proto(row: Row[Any]) -> pb.Key:
    key = pb.Key(
        id=row.id,
        account=row.account_id,
        name=row.name,
        prefix=row.prefix,
        models=json.loads(row.models),
        requests_per_minute=row.requests_per_minute,
        tokens_per_minute=row.tokens_per_minute,
        max_active=row.max_active,
        created=row.created,
        expires=row.expires,
        revoked=row.revoked,
        admin=row.admin,
    )
    if row.cap_period is not None:
        key.spend_cap.amount_nanos = row.cap_nanos
        key.spend_cap.period = pb.SpendPeriod.Value(_PERIOD + row.cap_period.upper())
    return key


def _period_name(period: pb.SpendPeriod.ValueType) -> str:
    return pb.SpendPeriod.Name(period).removeprefix(_PERIOD).lower()


def _optional(key: pb.Key, field: Any) -> int | None:
    return int(getattr(key, field)) if key.HasField(field) else None
