"""AccountService and KeyService: who may ask what, and what a request must be like."""

from __future__ import annotations

import logging
import random

import grpc
import pytest
from llmbase.v1 import account_pb2 as pb

from service.accounts.directory import KeyDirectory
from service.accounts.registry import Registry
from service.config import AccountsConfig
from tests.support.account_door import ADMIN, PLAIN, account_door, bearer
from tests.support.failures import reason_of
from tests.support.stores import sqlite_place

NOW = 1_795_694_400.0  # 2026-11-26T12:00:00Z
DOLLAR = 10**9

ADMIN_ONLY = [
    ("accounts", "CreateAccount", pb.CreateAccountRequest(id="other")),
    ("accounts", "ListAccounts", pb.ListAccountsRequest()),
    ("accounts", "CreditAccount", pb.CreditAccountRequest(account="zoo", amount_nanos=1)),
    ("keys", "CreateKey", pb.CreateKeyRequest(account="zoo", name="mine", admin=True)),
    ("keys", "ListKeys", pb.ListKeysRequest()),
    ("keys", "RevokeKey", pb.RevokeKeyRequest(id="key_1")),
    ("keys", "RotateKey", pb.RotateKeyRequest(id="key_1")),
]
FOR_ALL = [
    ("accounts", "GetBalance", pb.GetBalanceRequest()),
    ("accounts", "ListUsage", pb.ListUsageRequest()),
]


@pytest.fixture
async def door(tmp_path):
    database = await sqlite_place(tmp_path).open()
    directory = KeyDirectory(database, AccountsConfig(), lambda: NOW, lambda: 0.0)
    registry = Registry(database, directory, lambda: NOW, random.SystemRandom())
    async with account_door(registry, directory) as door:
        yield door
    await database.close()


@pytest.fixture
async def holder(door):
    """The key of an account that has money."""
    metadata = bearer(ADMIN)
    await door.accounts.CreateAccount(pb.CreateAccountRequest(id="zoo"), metadata=metadata)
    credit = pb.CreditAccountRequest(account="zoo", amount_nanos=5 * DOLLAR)
    await door.accounts.CreditAccount(credit, metadata=metadata)
    request = pb.CreateKeyRequest(account="zoo", name="ci")
    return (await door.keys.CreateKey(request, metadata=metadata)).secret


async def _refused(call) -> tuple[str, str]:
    with pytest.raises(grpc.aio.AioRpcError) as raised:
        await call
    return reason_of(raised.value), raised.value.details()


@pytest.mark.parametrize(("service", "method", "request_"), ADMIN_ONLY + FOR_ALL)
async def test_nothing_is_told_to_who_sends_no_key_or_a_wrong_one(door, service, method, request_):
    call = getattr(getattr(door, service), method)
    assert (await _refused(call(request_)))[0] == "MISSING_API_KEY"
    wrong = bearer("llmbase_" + "x" * 43)
    assert (await _refused(call(request_, metadata=wrong)))[0] == "INVALID_API_KEY"


@pytest.mark.parametrize(("service", "method", "request_"), ADMIN_ONLY)
async def test_only_an_administrator_may_manage(door, holder, service, method, request_):
    call = getattr(getattr(door, service), method)
    for key in (holder, PLAIN):
        assert (await _refused(call(request_, metadata=bearer(key))))[0] == "ADMIN_REQUIRED"
    listed = await door.keys.ListKeys(pb.ListKeysRequest(), metadata=bearer(ADMIN))
    assert [key.name for key in listed.keys] == ["ci"]


async def test_a_caller_sees_its_own_balance_and_an_administrator_every_one(door, holder):
    wanted = pb.GetBalanceResponse(currency="USD", balance_nanos=5 * DOLLAR)
    for key, account in ((holder, ""), (holder, "zoo"), (ADMIN, "zoo")):
        request = pb.GetBalanceRequest(account=account)
        assert await door.accounts.GetBalance(request, metadata=bearer(key)) == wanted


async def test_a_caller_sees_no_other_account(door, holder):
    for account in ("operator", "nobody"):
        for method, request in (
            (door.accounts.GetBalance, pb.GetBalanceRequest(account=account)),
            (door.accounts.ListUsage, pb.ListUsageRequest(account=account)),
        ):
            assert (await _refused(method(request, metadata=bearer(holder))))[0] == "ADMIN_REQUIRED"
    everything = door.accounts.ListUsage(pb.ListUsageRequest(account="*"), metadata=bearer(holder))
    assert (await _refused(everything))[0] == "ADMIN_REQUIRED"


async def test_who_belongs_to_no_account_has_usage_but_no_balance(door):
    for key in (PLAIN, ADMIN):
        reason, text = await _refused(
            door.accounts.GetBalance(pb.GetBalanceRequest(), metadata=bearer(key))
        )
        assert reason == "ACCOUNT_NOT_FOUND"
        assert text == "The API key belongs to no account: there is no balance."
        answer = await door.accounts.ListUsage(pb.ListUsageRequest(), metadata=bearer(key))
        assert answer == pb.ListUsageResponse()


async def test_an_administrator_sees_the_usage_of_all_and_hears_of_names_that_are_none(door):
    metadata = bearer(ADMIN)
    await door.accounts.ListUsage(pb.ListUsageRequest(account="*"), metadata=metadata)
    for call in (
        door.accounts.ListUsage(pb.ListUsageRequest(account="nobody"), metadata=metadata),
        door.accounts.GetBalance(pb.GetBalanceRequest(account="nobody"), metadata=metadata),
    ):
        assert (await _refused(call))[0] == "ACCOUNT_NOT_FOUND"


async def test_a_key_of_the_store_can_be_an_administrators(door, holder):
    request = pb.CreateKeyRequest(account="operator", name="boss", admin=True)
    boss = (await door.keys.CreateKey(request, metadata=bearer(ADMIN))).secret
    await door.accounts.ListAccounts(pb.ListAccountsRequest(), metadata=bearer(boss))


async def test_a_revoked_key_is_refused_and_a_rotated_one_replaced(door, holder):
    metadata, balance = bearer(ADMIN), pb.GetBalanceRequest()
    (key,) = (await door.keys.ListKeys(pb.ListKeysRequest(), metadata=metadata)).keys
    new = await door.keys.RotateKey(pb.RotateKeyRequest(id=key.id), metadata=metadata)
    call = door.accounts.GetBalance(balance, metadata=bearer(holder))
    assert (await _refused(call))[0] == "INVALID_API_KEY"
    await door.accounts.GetBalance(balance, metadata=bearer(new.secret))
    await door.keys.RevokeKey(pb.RevokeKeyRequest(id=new.key.id), metadata=metadata)
    call = door.accounts.GetBalance(balance, metadata=bearer(new.secret))
    assert (await _refused(call))[0] == "INVALID_API_KEY"


_KEY = {"account": "zoo", "name": "ci"}
_CREDIT = {"account": "zoo", "amount_nanos": 1}
_CAP = {"amount_nanos": 1, "period": pb.SPEND_PERIOD_DAY}
BAD = [
    ("accounts", "CreateAccount", pb.CreateAccountRequest(), "id"),
    *(
        ("accounts", "CreateAccount", pb.CreateAccountRequest(id=name), "id")
        for name in ("*", "a b", ".a", "-a", "ä", "a" * 65, "a/b", "a\n")
    ),
    ("accounts", "CreateAccount", pb.CreateAccountRequest(id="a", max_active=0), "max_active"),
    ("accounts", "ListAccounts", pb.ListAccountsRequest(page_size=-1), "page_size"),
    ("accounts", "ListAccounts", pb.ListAccountsRequest(page_size=1001), "page_size"),
    ("accounts", "ListAccounts", pb.ListAccountsRequest(page_token="?"), "page_token"),
    (
        "accounts",
        "ListAccounts",
        pb.ListAccountsRequest(page_token="WyJcdTAwMDAiXQ=="),
        "page_token",
    ),
    ("accounts", "CreditAccount", pb.CreditAccountRequest(amount_nanos=1), "account"),
    *(
        ("accounts", "CreditAccount", pb.CreditAccountRequest(**(_CREDIT | {field: value})), field)
        for field, value in (
            ("amount_nanos", 0),
            ("amount_nanos", 10**18 + 1),
            ("amount_nanos", -(2**63)),
            ("credit_id", "x" * 65),
            ("credit_id", "a b"),
            ("note", "x" * 257),
            ("note", "a\0b"),
        )
    ),
    ("accounts", "GetBalance", pb.GetBalanceRequest(account="a\0b"), "account"),
    *(
        ("accounts", "ListUsage", pb.ListUsageRequest(**fields), field)
        for field, fields in (
            ("account", {"account": "**"}),
            ("from_day", {"from_day": "2026-1-1"}),
            ("from_day", {"from_day": "2026-02-30"}),
            ("to_day", {"to_day": "today"}),
            ("from_day", {"from_day": "2026-01-02", "to_day": "2026-01-01"}),
            ("group_by[0]", {"group_by": [pb.USAGE_GROUP_UNSPECIFIED]}),
            ("group_by[0]", {"group_by": [9]}),
            ("group_by[1]", {"group_by": [pb.USAGE_GROUP_DAY] * 2}),
            ("page_size", {"page_size": 1001}),
        )
    ),
    *(
        ("keys", "CreateKey", pb.CreateKeyRequest(**(_KEY | fields)), field)
        for field, fields in (
            ("account", {"account": ""}),
            ("name", {"name": ""}),
            ("name", {"name": "x" * 65}),
            ("name", {"name": "a\nb"}),
            ("models", {"models": ["a"] * 101}),
            ("models[1]", {"models": ["a", ""]}),
            ("models[0]", {"models": ["ä"]}),
            ("spend_cap.amount_nanos", {"spend_cap": pb.SpendCap(**(_CAP | {"amount_nanos": -1}))}),
            ("spend_cap.period", {"spend_cap": pb.SpendCap(**(_CAP | {"period": 0}))}),
            ("spend_cap.period", {"spend_cap": pb.SpendCap(**(_CAP | {"period": 7}))}),
            ("requests_per_minute", {"requests_per_minute": 0}),
            ("tokens_per_minute", {"tokens_per_minute": -1}),
            ("max_active", {"max_active": 0}),
            ("expires", {"expires": 0}),
            ("expires", {"expires": int(NOW)}),
            ("expires", {"expires": 2**60}),
        )
    ),
    ("keys", "ListKeys", pb.ListKeysRequest(account="a b"), "account"),
    ("keys", "ListKeys", pb.ListKeysRequest(page_size=-1), "page_size"),
    ("keys", "RevokeKey", pb.RevokeKeyRequest(), "id"),
    ("keys", "RotateKey", pb.RotateKeyRequest(id="key_1", overlap_seconds=-1), "overlap_seconds"),
    (
        "keys",
        "RotateKey",
        pb.RotateKeyRequest(id="key_1", overlap_seconds=2**40),
        "overlap_seconds",
    ),
]


@pytest.mark.parametrize(("service", "method", "request_", "field"), BAD)
async def test_a_fault_names_its_field(door, service, method, request_, field):
    call = getattr(getattr(door, service), method)
    reason, text = await _refused(call(request_, metadata=bearer(ADMIN)))
    assert reason == "INVALID_REQUEST"
    assert text.startswith(f"{field}: "), text


@pytest.mark.parametrize(("service", "method", "request_"), ADMIN_ONLY + FOR_ALL)
async def test_without_a_store_it_is_said_that_nothing_is_kept(service, method, request_):
    directory = KeyDirectory(None, AccountsConfig(), lambda: NOW, lambda: 0.0)
    async with account_door(None, directory) as door:
        call = getattr(getattr(door, service), method)
        reason, text = await _refused(call(request_, metadata=bearer(ADMIN)))
    assert reason == "SERVICE_UNAVAILABLE"
    assert text == "Accounts are not kept here: the configuration says `store: null`."


async def test_what_is_managed_is_logged_without_a_key(door, holder, caplog):
    caplog.set_level(logging.DEBUG)
    request = pb.CreateKeyRequest(account="zoo", name="ci")
    made = await door.keys.CreateKey(request, metadata=bearer(ADMIN))
    await door.accounts.GetBalance(pb.GetBalanceRequest(), metadata=bearer(made.secret))
    (line,) = [record for record in caplog.records if record.message == "managed"]
    assert (line.method, line.key, line.subject) == ("CreateKey", "admin", made.key.id)
    for record in caplog.records:
        said = record.getMessage() + str(vars(record))
        assert made.secret not in said and holder not in said and ADMIN not in said
