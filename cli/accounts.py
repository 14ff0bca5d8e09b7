"""`llmbase accounts`: who pays, and what is left."""

from __future__ import annotations

import json
import secrets

import click
import grpc
from llmbase.v1 import account_pb2 as pb
from llmbase.v1.account_pb2_grpc import AccountServiceStub

from cli.connection import connection_options
from cli.dollars import Dollars, dollars
from cli.managing import Ask, as_dict, asking, json_option, moment, pages, table

_TITLES = ("ACCOUNT", "PREPAID", "MAX ACTIVE", "CREATED (UTC)", "BALANCE USD", "RESERVED USD")
_UNSURE = (grpc.StatusCode.UNAVAILABLE, grpc.StatusCode.DEADLINE_EXCEEDED)


@click.group("accounts")
def command() -> None:
    """Make and list accounts of a running service, and give them money.

    Needs the API key of an administrator in $LLMBASE_API_KEY.
    """


@command.command("create")
@connection_options
@click.option("--credit", type=Dollars(), help="Money to begin with, in US dollars.")
@click.option(
    "--not-prepaid", is_flag=True, help="Calls are recorded, but need no money on the account."
)
@click.option("--max-active", type=click.IntRange(min=1), help="Calls that may be open at a time.")
@click.argument("account")
def create(
    address: str,
    key: str,
    credit: int | None,
    not_prepaid: bool,
    max_active: int | None,
    account: str,
) -> None:
    """Make the account ACCOUNT: letters, digits, `_`, `.` and `-`."""
    request = pb.CreateAccountRequest(id=account, prepaid=not not_prepaid, max_active=max_active)

    async def work(channel: grpc.aio.Channel, ask: Ask) -> pb.Account:
        stub = AccountServiceStub(channel)
        made: pb.Account = (await ask(stub.CreateAccount, request)).account
        return await _credited(stub, ask, _credit_of(account, credit)) if credit else made

    _say(asking(address, key, work), "made")


@command.command("list")
@connection_options
@json_option
def list_(address: str, key: str, as_json: bool) -> None:
    """List the accounts, and what each has left."""

    async def work(channel: grpc.aio.Channel, ask: Ask) -> list[pb.Account]:
        method = AccountServiceStub(channel).ListAccounts
        answers = pages(ask, method, pb.ListAccountsRequest())
        return [account async for answer in answers for account in answer.accounts]

    accounts = asking(address, key, work)
    if as_json:
        click.echo(json.dumps([as_dict(account) for account in accounts], indent=2))
    else:
        click.echo(table(_TITLES, [_row(account) for account in accounts], right=2))


@command.command("credit", context_settings={"ignore_unknown_options": True})
@connection_options
@click.option("--id", "credit_id", help="The same credit is only given once under one id.")
@click.option("--note", default="", help="For people: why.")
@click.argument("account")
@click.argument("usd", type=Dollars())
def credit(
    address: str, key: str, credit_id: str | None, note: str, account: str, usd: int
) -> None:
    """Add USD to the account ACCOUNT; a negative amount takes some back."""
    request = _credit_of(account, usd, credit_id, note)

    async def work(channel: grpc.aio.Channel, ask: Ask) -> pb.Account:
        return await _credited(AccountServiceStub(channel), ask, request)

    _say(asking(address, key, work), "credited")


def _credit_of(
    account: str, nanos: int, credit_id: str | None = None, note: str = ""
) -> pb.CreditAccountRequest:
    credit_id = credit_id or f"credit_{secrets.token_hex(12)}"
    return pb.CreditAccountRequest(
        account=account, amount_nanos=nanos, credit_id=credit_id, note=note
    )


async def _credited(
    stub: AccountServiceStub, ask: Ask, request: pb.CreditAccountRequest
) -> pb.Account:
    try:
        account: pb.Account = (await ask(stub.CreditAccount, request)).account
        return account
    except grpc.aio.AioRpcError as error:
        if error.code() in _UNSURE:
            click.echo(
                f"It may have been given. Repeat it with --id {request.credit_id}: it is given "
                "once.",
                err=True,
            )
        raise


def _say(account: pb.Account, done: str) -> None:
    left = f"{dollars(account.balance_nanos)} USD" if account.prepaid else "not prepaid"
    click.echo(f"{account.id}: {done}, {left}")


def _row(account: pb.Account) -> tuple[str, ...]:
    return (
        account.id,
        "yes" if account.prepaid else "no",
        str(account.max_active) if account.HasField("max_active") else "-",
        moment(account.created),
        dollars(account.balance_nanos),
        dollars(account.reserved_nanos),
    )
