"""Accounts, credits, keys and sums of usage, in a store of each kind."""

from __future__ import annotations

import asyncio
import hashlib

import pytest
from llmbase.v1 import account_pb2 as pb
from sqlalchemy import insert, select, update

from service.errors import (
    AccountNotFound,
    AlreadyExists,
    InvalidRequest,
    KeyNotFound,
    ServiceUnavailable,
)
from service.store.database import Database
from service.store.tables import ACCOUNTS, CHANGES, CREDITS, KEY_SPEND, KEYS, LEDGER
from tests.unit.service.accounts.replicas import replica

DOLLAR = 10**9


async def _make(registry, account="zoo", **fields):
    return await registry.create_account(pb.CreateAccountRequest(id=account, **fields))


async def _credit(registry, amount, credit_id="", account="zoo"):
    request = pb.CreditAccountRequest(account=account, amount_nanos=amount, credit_id=credit_id)
    return (await registry.credit(request)).balance_nanos


async def _revision(here):
    async with here.database.reading() as connection:
        return (await connection.execute(select(CHANGES.c.revision))).scalar_one()


async def test_an_account_begins_without_money(here, clock):
    made = await _make(here.registry, max_active=3)
    assert made == pb.Account(id="zoo", created=int(clock.now()), prepaid=True, max_active=3)
    assert await here.registry.account("zoo") == made
    assert not (await _make(here.registry, "free", prepaid=False)).prepaid


async def test_an_id_is_taken_once_however_many_ask_at_once(here, there):
    made = await asyncio.gather(
        *(_make(each.registry) for each in (here, there) * 5), return_exceptions=True
    )
    assert [type(one) for one in made].count(pb.Account) == 1
    assert [type(one) for one in made].count(AlreadyExists) == 9


async def test_accounts_are_listed_page_by_page(here):
    for i in range(5):
        await _make(here.registry, f"a{i}")
    token, pages = "", []
    while True:
        request = pb.ListAccountsRequest(page_size=2, page_token=token)
        answer = await here.registry.list_accounts(request)
        pages.append([account.id for account in answer.accounts])
        if not (token := answer.next_page_token):
            break
    assert pages == [["a0", "a1"], ["a2", "a3"], ["a4", "operator"]]


@pytest.mark.parametrize("token", ["x", "!!!!", "WzFd", "WyJhIiwiYiJd", "e30=", "bnVsbA=="])
async def test_a_token_that_no_page_had_is_refused(here, token):
    with pytest.raises(InvalidRequest, match="page_token"):
        await here.registry.list_accounts(pb.ListAccountsRequest(page_token=token))


async def test_credits_add_up_and_can_take_back(here):
    await _make(here.registry)
    assert await _credit(here.registry, 5 * DOLLAR) == 5 * DOLLAR
    assert await _credit(here.registry, -2 * DOLLAR) == 3 * DOLLAR
    with pytest.raises(AccountNotFound):
        await _credit(here.registry, 1, account="nobody")


async def test_a_credit_is_given_once_under_one_id_however_often_it_is_asked_for(here, there):
    await _make(here.registry)
    await asyncio.gather(
        *(_credit(each.registry, DOLLAR, "invoice-1") for each in (here, there) * 10)
    )
    assert (await here.registry.account("zoo")).balance_nanos == DOLLAR
    for amount, account in ((2 * DOLLAR, "zoo"), (DOLLAR, "operator")):
        with pytest.raises(AlreadyExists):
            await _credit(here.registry, amount, "invoice-1", account)


async def test_many_credits_at_once_lose_nothing(here, there):
    await _make(here.registry)
    await asyncio.gather(*(_credit(each.registry, i) for each in (here, there) for i in range(20)))
    async with here.database.reading() as connection:
        amounts = (await connection.execute(select(CREDITS.c.amount_nanos))).scalars().all()
    assert len(amounts) == 39 + 1
    assert (await here.registry.account("zoo")).balance_nanos == sum(amounts) == 2 * sum(range(20))


async def test_what_open_calls_hold_cannot_be_taken_back(here):
    await _make(here.registry)
    await _credit(here.registry, 10)
    async with here.database.transaction() as connection:
        await connection.execute(
            update(ACCOUNTS).where(ACCOUNTS.c.id == "zoo").values(reserved_nanos=4)
        )
    with pytest.raises(InvalidRequest, match="more than is left: 6"):
        await _credit(here.registry, -7)
    assert await _credit(here.registry, -6) == 4


async def test_money_stays_within_64_bits(here):
    await _make(here.registry)
    for _ in range(4):
        await _credit(here.registry, 10**18)
    with pytest.raises(InvalidRequest, match="amount_nanos"):
        await _credit(here.registry, 10**18)
    assert (await here.registry.account("zoo")).balance_nanos == 4 * 10**18


async def _key(registry, **fields):
    return await registry.create_key(
        pb.CreateKeyRequest(**({"account": "zoo", "name": "ci"} | fields))
    )


async def test_a_key_is_random_and_only_its_hash_is_kept(here):
    await _make(here.registry)
    key, secret = await _key(here.registry)
    assert len(secret) == len("llmbase_") + 43
    assert secret.startswith("llmbase_")
    assert key.prefix == secret[:12]
    assert (len(key.id), key.id[:4], list(key.models)) == (28, "key_", ["*"])
    async with here.database.reading() as connection:
        row = (await connection.execute(select(KEYS))).one()
    assert row.sha256 == hashlib.sha256(secret.encode()).hexdigest()
    assert secret not in str(row)
    assert (await _key(here.registry))[1] != secret


async def test_a_key_is_listed_as_it_was_made(here):
    await _make(here.registry)
    key, _ = await _key(
        here.registry,
        models=["a/*", "b"],
        spend_cap=pb.SpendCap(amount_nanos=0, period=pb.SPEND_PERIOD_TOTAL),
        requests_per_minute=1,
        tokens_per_minute=2,
        max_active=3,
        expires=2_000_000_000,
        admin=True,
    )
    answer = await here.registry.list_keys(pb.ListKeysRequest())
    assert list(answer.keys) == [key]
    assert key.spend_cap.period == pb.SPEND_PERIOD_TOTAL


async def test_keys_are_listed_page_by_page_and_by_account(here):
    for account in ("zoo", "farm"):
        await _make(here.registry, account)
        for _ in range(3):
            await _key(here.registry, account=account)
    token, found = "", []
    while True:
        request = pb.ListKeysRequest(account="farm", page_size=2, page_token=token)
        answer = await here.registry.list_keys(request)
        found += answer.keys
        if not (token := answer.next_page_token):
            break
    assert [key.id for key in found] == sorted(key.id for key in found)
    assert [key.account for key in found] == ["farm"] * 3
    assert len((await here.registry.list_keys(pb.ListKeysRequest())).keys) == 6
    with pytest.raises(AccountNotFound):
        await here.registry.list_keys(pb.ListKeysRequest(account="nobody"))


async def test_a_key_needs_an_account_and_an_end_that_is_to_come(here, clock):
    with pytest.raises(AccountNotFound):
        await _key(here.registry, account="nobody")
    await _make(here.registry)
    with pytest.raises(InvalidRequest, match="expires"):
        await _key(here.registry, expires=int(clock.now()))


async def test_a_key_is_revoked_once(here, clock):
    await _make(here.registry)
    key, _ = await _key(here.registry)
    first = await here.registry.revoke(key.id)
    assert first.revoked == int(clock.now())
    clock.passed += 10
    assert await here.registry.revoke(key.id) == first
    with pytest.raises(KeyNotFound):
        await here.registry.revoke("key_of_nobody")


async def test_a_rotation_makes_an_equal_and_ends_the_old_one_later(here, clock):
    await _make(here.registry)
    old, old_secret = await _key(here.registry, models=["a"], max_active=2, expires=2_000_000_000)
    clock.passed += 5
    new, secret = await here.registry.rotate(pb.RotateKeyRequest(id=old.id, overlap_seconds=60))
    assert new.id != old.id and secret != old_secret and new.prefix == secret[:12]
    assert (new.models, new.max_active, new.expires) == (old.models, 2, 2_000_000_000)
    assert new.created == int(clock.now()) and not new.HasField("revoked")
    listed = {k.id: k for k in (await here.registry.list_keys(pb.ListKeysRequest())).keys}
    assert listed[old.id].revoked == int(clock.now()) + 60
    assert (await here.registry.revoke(old.id)).revoked == int(clock.now())


async def test_a_rotation_never_prolongs_a_key_and_never_brings_one_back(here, clock):
    await _make(here.registry)
    old, _ = await _key(here.registry)
    await here.registry.rotate(pb.RotateKeyRequest(id=old.id, overlap_seconds=10))
    await here.registry.rotate(pb.RotateKeyRequest(id=old.id, overlap_seconds=1000))
    listed = {k.id: k for k in (await here.registry.list_keys(pb.ListKeysRequest())).keys}
    assert listed[old.id].revoked == int(clock.now()) + 10
    clock.passed += 10
    with pytest.raises(InvalidRequest, match="has not ended"):
        await here.registry.rotate(pb.RotateKeyRequest(id=old.id))
    with pytest.raises(KeyNotFound):
        await here.registry.rotate(pb.RotateKeyRequest(id="key_of_nobody"))


async def test_a_rotation_gives_no_second_allowance(here):
    await _make(here.registry)
    old, _ = await _key(
        here.registry, spend_cap=pb.SpendCap(amount_nanos=9, period=pb.SPEND_PERIOD_DAY)
    )
    row = {"key_id": old.id, "period": "2026-11-26", "spent_nanos": 7, "reserved_nanos": 1}
    async with here.database.transaction() as connection:
        await connection.execute(insert(KEY_SPEND).values(row))
    new, _ = await here.registry.rotate(pb.RotateKeyRequest(id=old.id))
    async with here.database.reading() as connection:
        statement = select(KEY_SPEND).where(KEY_SPEND.c.key_id == new.id)
        assert tuple((await connection.execute(statement)).one()) == (new.id, "2026-11-26", 7, 0)


async def test_every_change_that_a_caller_can_feel_is_counted_and_no_other(here):
    registry, before = here.registry, await _revision(here)
    await _make(registry)
    key, _ = await _key(registry)
    await registry.rotate(pb.RotateKeyRequest(id=key.id))
    await registry.revoke(key.id)
    assert await _revision(here) == before + 4
    await _credit(registry, 1)
    await registry.list_keys(pb.ListKeysRequest())
    with pytest.raises(AlreadyExists):
        await _make(registry)
    assert await _revision(here) == before + 4


def _row(i, **fields):
    return {
        "call_id": f"c{i}",
        "request_id": "r",
        "account_id": "zoo",
        "key_id": "key_1",
        "ended": 1,
        "day": "2026-11-26",
        "outcome": "OK",
        "requested_model": "asked",
        "served_model": "a/one",
        "provider": "p",
        "prompt_tokens": 10,
        "cached_tokens": 3,
        "cache_write_tokens": 2,
        "completion_tokens": 5,
        "reasoning_tokens": 1,
        "estimated": False,
        "reserved_nanos": 100,
        "cost_nanos": 50,
        "excess_nanos": 0,
    } | fields


@pytest.fixture
async def used(here):
    """A registry whose ledger has rows."""
    for account in ("zoo", "farm"):
        await _make(here.registry, account)
    rows = [
        _row(1),
        _row(2, served_model="b/two", cost_nanos=2**60),
        _row(3, key_id="key_2", day="2026-11-25", cost_nanos=2**60),
        _row(4, account_id="farm", day="2026-11-24"),
        _row(5, day="2026-10-01"),
        _row(6, account_id="operator", key_id="static/demo", cost_nanos=0),
    ]
    async with here.database.transaction() as connection:
        await connection.execute(insert(LEDGER), rows)
    return here.registry


async def _usage(registry, account="zoo", **fields):
    request = pb.ListUsageRequest(**fields)
    return list((await registry.list_usage(request, account)).rows)


async def test_usage_is_summed_up_by_day_for_the_last_thirty(used):
    first, second = await _usage(used)
    assert (first.day, first.calls, first.cost_nanos) == ("2026-11-25", 1, 2**60)
    assert second == pb.UsageRow(
        day="2026-11-26",
        calls=2,
        prompt_tokens=20,
        cached_tokens=6,
        cache_write_tokens=4,
        completion_tokens=10,
        reasoning_tokens=2,
        cost_nanos=50 + 2**60,
    )


async def test_usage_is_grouped_as_it_is_asked_for(used):
    groups = [pb.USAGE_GROUP_ACCOUNT, pb.USAGE_GROUP_KEY, pb.USAGE_GROUP_MODEL]
    rows = await _usage(used, None, group_by=groups, from_day="2026-01-01")
    assert [(row.account, row.key, row.model, row.calls) for row in rows] == [
        ("farm", "key_1", "a/one", 1),
        ("operator", "static/demo", "a/one", 1),
        ("zoo", "key_1", "a/one", 2),
        ("zoo", "key_1", "b/two", 1),
        ("zoo", "key_2", "a/one", 1),
    ]
    assert {row.day for row in rows} == {""}


@pytest.mark.parametrize("size", [1, 2, 3, 5])
async def test_usage_is_listed_page_by_page(used, size):
    groups = [pb.USAGE_GROUP_DAY, pb.USAGE_GROUP_ACCOUNT, pb.USAGE_GROUP_MODEL]
    asked = {"group_by": groups, "from_day": "2026-01-01"}
    whole = await _usage(used, None, **asked)
    token, found = "", []
    while True:
        request = pb.ListUsageRequest(page_size=size, page_token=token, **asked)
        answer = await used.list_usage(request, None)
        assert len(answer.rows) <= size
        found += answer.rows
        if not (token := answer.next_page_token):
            break
    assert found == whole


async def test_usage_of_days_is_of_those_days_alone(used):
    rows = await _usage(used, from_day="2026-10-01", to_day="2026-11-25")
    assert [row.day for row in rows] == ["2026-10-01", "2026-11-25"]
    assert await _usage(used, from_day="2027-01-01", to_day="2027-01-02") == []
    with pytest.raises(AccountNotFound):
        await _usage(used, "nobody")


async def test_a_token_of_other_groups_is_refused(used):
    request = pb.ListUsageRequest(page_size=1)
    token = (await used.list_usage(request, "zoo")).next_page_token
    groups = [pb.USAGE_GROUP_DAY, pb.USAGE_GROUP_KEY]
    with pytest.raises(InvalidRequest, match="page_token"):
        await used.list_usage(pb.ListUsageRequest(page_token=token, group_by=groups), "zoo")


async def test_a_store_that_is_away_is_said_so(clock, postgres):
    database = Database(postgres.new_database())  # without tables
    registry = replica(database, clock, 1).registry
    with pytest.raises(ServiceUnavailable):
        await registry.account("zoo")
    with pytest.raises(ServiceUnavailable):
        await _make(registry)
    await database.close()
