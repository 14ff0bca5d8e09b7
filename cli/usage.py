"""`llmbase usage`: what was used and what it cost, for people, spreadsheets and programs."""

from __future__ import annotations

import csv
import json
import sys

import click
import grpc
from llmbase.v1 import account_pb2 as pb
from llmbase.v1.account_pb2_grpc import AccountServiceStub

from cli.bars import bars
from cli.connection import connection_options
from cli.dollars import dollars
from cli.managing import Ask, asking, json_option, pages, table

_GROUPS = {
    "day": pb.USAGE_GROUP_DAY,
    "model": pb.USAGE_GROUP_MODEL,
    "key": pb.USAGE_GROUP_KEY,
    "account": pb.USAGE_GROUP_ACCOUNT,
}
_COUNTS = (
    "calls",
    "prompt_tokens",
    "cached_tokens",
    "cache_write_tokens",
    "completion_tokens",
    "reasoning_tokens",
)
_TITLES = ("CALLS", "PROMPT", "CACHED", "WRITTEN", "ANSWER", "REASONING", "USD")


@click.command("usage")
@connection_options
@click.option("--account", default="", help="Whose. Default: the key's own; `*`: everybody's.")
@click.option("--from", "from_day", default="", help="YYYY-MM-DD (UTC). Default: 30 days ago.")
@click.option("--to", "to_day", default="", help="YYYY-MM-DD (UTC). Default: today.")
@click.option(
    "--by",
    multiple=True,
    type=click.Choice(list(_GROUPS)),
    help="What has a row of its own; repeatable. Default: each day.",
)
@click.option("--csv", "as_csv", is_flag=True, help="As comma-separated values.")
@json_option
def command(
    address: str,
    key: str,
    account: str,
    from_day: str,
    to_day: str,
    by: tuple[str, ...],
    as_csv: bool,
    as_json: bool,
) -> None:
    """Show what the calls of a running service used, and what they cost.

    Another account's figures are for administrators.
    """
    if as_csv and as_json:
        raise click.UsageError("--csv and --json exclude each other.")
    groups = tuple(dict.fromkeys(by)) or ("day",)
    request = pb.ListUsageRequest(
        account=account,
        from_day=from_day,
        to_day=to_day,
        group_by=[_GROUPS[name] for name in groups],
    )

    async def work(channel: grpc.aio.Channel, ask: Ask) -> list[pb.UsageRow]:
        answers = pages(ask, AccountServiceStub(channel).ListUsage, request)
        return [row async for answer in answers for row in answer.rows]

    rows = asking(address, key, work)
    if as_csv:
        _write_csv(rows, groups)
    elif as_json:
        click.echo(json.dumps([_values(row, groups) for row in rows], indent=2))
    elif rows:
        _draw(rows, groups)
    else:
        click.echo("No calls were settled in this time.", err=True)


def _values(row: pb.UsageRow, groups: tuple[str, ...]) -> dict[str, str | int]:
    values: dict[str, str | int] = {name: getattr(row, name) for name in (*groups, *_COUNTS)}
    return values | {"cost_usd": dollars(row.cost_nanos), "cost_nanos": row.cost_nanos}


def _write_csv(rows: list[pb.UsageRow], groups: tuple[str, ...]) -> None:
    names = (*groups, *_COUNTS, "cost_usd", "cost_nanos")
    writer = csv.DictWriter(sys.stdout, names, lineterminator="\n")
    writer.writeheader()
    writer.writerows(_values(row, groups) for row in rows)


def _draw(rows: list[pb.UsageRow], groups: tuple[str, ...]) -> None:
    total = pb.UsageRow()
    for name in (*_COUNTS, "cost_nanos"):
        setattr(total, name, sum(getattr(row, name) for row in rows))
    titles = (*(name.upper() for name in groups), *_TITLES)
    cells = [_cells(row, tuple(getattr(row, name) for name in groups)) for row in rows]
    if len(rows) > 1:
        cells.append(_cells(total, ("total", *[""] * (len(groups) - 1))))
    click.echo(table(titles, cells, right=len(_TITLES)))
    labels = [" ".join(getattr(row, name) for name in groups) for row in rows]
    click.echo("")
    click.echo(bars(labels, *_drawn(rows, free=total.cost_nanos == 0)))


def _cells(row: pb.UsageRow, labels: tuple[str, ...]) -> tuple[str, ...]:
    counts = (f"{getattr(row, name):,}" for name in _COUNTS)
    return (*labels, *counts, dollars(row.cost_nanos))


def _drawn(rows: list[pb.UsageRow], *, free: bool) -> tuple[list[int], list[str]]:
    """What bars are drawn of: money; tokens, where nothing cost any."""
    if free:
        tokens = [row.prompt_tokens + row.completion_tokens for row in rows]
        return tokens, [f"{count:,} tokens" for count in tokens]
    costs = [row.cost_nanos for row in rows]
    return costs, [f"{dollars(cost)} USD" for cost in costs]
