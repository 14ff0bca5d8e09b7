"""What calls used and cost, summed up by the database; a page at a time."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, TypeAlias

from llmbase.v1 import account_pb2 as pb
from sqlalchemy import Row, Select, func, literal, select, tuple_
from sqlalchemy.ext.asyncio import AsyncConnection

from service.store.tables import LEDGER

Group: TypeAlias = "pb.UsageGroup.ValueType"

# What each group is called in a row of the answer, and in the ledger.
_GROUPS = {
    pb.USAGE_GROUP_DAY: ("day", LEDGER.c.day),
    pb.USAGE_GROUP_MODEL: ("model", LEDGER.c.served_model),
    pb.USAGE_GROUP_KEY: ("key", LEDGER.c.key_id),
    pb.USAGE_GROUP_ACCOUNT: ("account", LEDGER.c.account_id),
}
_SUMS = (
    "prompt_tokens",
    "cached_tokens",
    "cache_write_tokens",
    "completion_tokens",
    "reasoning_tokens",
    "cost_nanos",
)


async def page(
    connection: AsyncConnection,
    account_id: str | None,
    days: tuple[str, str],
    groups: Sequence[Group],
    size: int,
    after: tuple[str, ...] | None,
) -> list[pb.UsageRow]:
    """Return the next sums, ordered by the groups; `account_id` None: of all accounts."""
    statement = _statement(groups).where(LEDGER.c.day.between(*days)).limit(size)
    if account_id is not None:
        statement = statement.where(LEDGER.c.account_id == account_id)
    if after is not None:
        columns = [_GROUPS[group][1] for group in groups]
        statement = statement.where(tuple_(*columns) > tuple_(*map(literal, after)))
    return [_to_proto(row) for row in await connection.execute(statement)]


def place(row: pb.UsageRow, groups: Sequence[Group]) -> tuple[str, ...]:
    """Return what orders a row: the values of its groups."""
    return tuple(getattr(row, _GROUPS[group][0]) for group in groups)


def _statement(groups: Sequence[Group]) -> Select[Any]:
    named = [_GROUPS[group] for group in groups]
    columns = [column for _, column in named]
    sums = [func.sum(LEDGER.c[name]).label(name) for name in _SUMS]
    return (
        select(
            *(column.label(name) for name, column in named),
            func.count().label("calls"),
            *sums,
        )
        .group_by(*columns)
        .order_by(*columns)
    )


def _to_proto(row: Row[Any]) -> pb.UsageRow:
    values = row._mapping
    result = pb.UsageRow()
    for name, _ in _GROUPS.values():
        if name in values:
            setattr(result, name, values[name])
    for name in ("calls", *_SUMS):
        setattr(result, name, int(values[name]))  # PostgreSQL's sum of integers is a decimal
    return result
