"""`llmbase keys`: who may call, and how much. A key itself is shown once, when it is made."""

from __future__ import annotations

import json
import time

import click
import grpc
from llmbase.v1 import account_pb2 as pb
from llmbase.v1.account_pb2_grpc import KeyServiceStub

from cli.connection import connection_options
from cli.dollars import dollars
from cli.key_options import End, Span, SpendCap, period_name
from cli.managing import Ask, as_dict, asking, json_option, moment, pages, table

_TITLES = ("ID", "KEY", "ACCOUNT", "NAME", "MODELS", "SPEND CAP", "BOUNDS", "STATE")
_BOUND = click.IntRange(min=1)


@click.group("keys")
def command() -> None:
    """Make, list, revoke and rotate API keys of a running service.

    Needs the API key of an administrator in $LLMBASE_API_KEY.
    """


@command.command("create")
@connection_options
@click.option("--name", default="default", show_default=True, help="For people; not unique.")
@click.option(
    "--model", "models", multiple=True, help="A model it may use, `*` matches anything; repeatable."
)
@click.option("--spend-cap", type=SpendCap(), help="Such as 25/month: also /day, /total.")
@click.option("--requests-per-minute", type=_BOUND)
@click.option("--tokens-per-minute", type=_BOUND, help="Prompts and answers together.")
@click.option("--max-active", type=_BOUND, help="Calls that may be open at a time.")
@click.option("--expires", type=End(), help="A day, YYYY-MM-DD (UTC), or a time such as 30d.")
@click.option("--admin", is_flag=True, help="It may manage accounts and keys.")
@click.argument("account")
def create(
    address: str,
    key: str,
    name: str,
    models: tuple[str, ...],
    spend_cap: pb.SpendCap | None,
    requests_per_minute: int | None,
    tokens_per_minute: int | None,
    max_active: int | None,
    expires: int | None,
    admin: bool,
    account: str,
) -> None:
    """Make a key of the account ACCOUNT, and print it alone on standard output.

    It cannot be shown again: only its hash is kept.
    """
    request = pb.CreateKeyRequest(
        account=account,
        name=name,
        models=models,
        spend_cap=spend_cap,
        requests_per_minute=requests_per_minute,
        tokens_per_minute=tokens_per_minute,
        max_active=max_active,
        expires=expires,
        admin=admin,
    )

    async def work(channel: grpc.aio.Channel, ask: Ask) -> pb.CreateKeyResponse:
        made: pb.CreateKeyResponse = await ask(KeyServiceStub(channel).CreateKey, request)
        return made

    made = asking(address, key, work)
    _show(made.key, made.secret)


@command.command("list")
@connection_options
@click.option("--account", default="", help="Only keys of this account.")
@json_option
def list_(address: str, key: str, account: str, as_json: bool) -> None:
    """List the keys, ended ones too: all but the keys themselves."""

    async def work(channel: grpc.aio.Channel, ask: Ask) -> list[pb.Key]:
        method, request = KeyServiceStub(channel).ListKeys, pb.ListKeysRequest(account=account)
        return [key async for answer in pages(ask, method, request) for key in answer.keys]

    keys = asking(address, key, work)
    if as_json:
        click.echo(json.dumps([as_dict(key) for key in keys], indent=2))
    else:
        click.echo(table(_TITLES, [_row(key, time.time()) for key in keys]))


@command.command("revoke")
@connection_options
@click.argument("id_", metavar="ID")
def revoke(address: str, key: str, id_: str) -> None:
    """End the key ID for good; every replica refuses it within five seconds."""

    async def work(channel: grpc.aio.Channel, ask: Ask) -> pb.Key:
        request = pb.RevokeKeyRequest(id=id_)
        ended: pb.Key = (await ask(KeyServiceStub(channel).RevokeKey, request)).key
        return ended

    ended = asking(address, key, work)
    click.echo(f"{ended.id} ({ended.prefix}..., {ended.name} of {ended.account}): revoked")


@command.command("rotate")
@connection_options
@click.option(
    "--overlap", type=Span(), default=0, help="How long the old key goes on, such as 1h or 7d."
)
@click.argument("id_", metavar="ID")
def rotate(address: str, key: str, overlap: int, id_: str) -> None:
    """Replace the key ID by one that may do the same, and print that one on standard output.

    The old one ends at once, unless there is an overlap.
    """

    async def work(channel: grpc.aio.Channel, ask: Ask) -> pb.RotateKeyResponse:
        request = pb.RotateKeyRequest(id=id_, overlap_seconds=overlap)
        made: pb.RotateKeyResponse = await ask(KeyServiceStub(channel).RotateKey, request)
        return made

    made = asking(address, key, work)
    _show(made.key, made.secret)


def _show(key: pb.Key, secret: str) -> None:
    click.echo(f"{key.id} ({key.name} of {key.account}). It is not shown again:", err=True)
    click.echo(secret)


def _row(key: pb.Key, now: float) -> tuple[str, ...]:
    cap = key.spend_cap
    bounds = [
        f"{getattr(key, field)} {short}"
        for field, short in (
            ("requests_per_minute", "req/min"),
            ("tokens_per_minute", "tok/min"),
            ("max_active", "active"),
        )
        if key.HasField(field)  # type: ignore[arg-type]
    ]
    return (
        key.id,
        f"{key.prefix}...",
        key.account,
        key.name + (" (admin)" if key.admin else ""),
        " ".join(key.models),
        f"{dollars(cap.amount_nanos)}/{period_name(cap.period)}" if cap.period else "-",
        ", ".join(bounds) or "-",
        _state(key, now),
    )


def _state(key: pb.Key, now: float) -> str:
    ends = [
        (getattr(key, field), past, future)
        for field, past, future in (
            ("revoked", "revoked", "is revoked"),
            ("expires", "expired", "expires"),
        )
        if key.HasField(field)  # type: ignore[arg-type]
    ]
    if not ends:
        return "active"
    at, past, future = min(ends)
    return f"{past if at <= now else future} {moment(at)}"
