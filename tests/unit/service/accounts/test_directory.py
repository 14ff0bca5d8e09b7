"""Who holds a key, by a store of each kind; times move as tests say."""

from __future__ import annotations

import hashlib
import random
import time

import pytest
from llmbase.v1 import account_pb2 as pb
from sqlalchemy import text

from service.accounts import key_rows
from service.accounts.caller import Limits, SpendCap
from service.accounts.directory import KeyDirectory
from service.config import AccountsConfig
from service.errors import ServiceUnavailable
from service.money import Nanos
from tests.support.stores import postgres_place
from tests.unit.service.accounts.replicas import replica

POLL = AccountsConfig().key_age / 2


def digest(secret: str) -> str:
    return hashlib.sha256(secret.encode()).hexdigest()


async def _key(registry, **fields) -> tuple[pb.Key, str]:
    await registry.create_account(pb.CreateAccountRequest(id="zoo"))
    request = pb.CreateKeyRequest(account="zoo", name="ci", **fields)
    return await registry.create_key(request)


async def test_a_key_says_who_calls_and_what_that_may_cost(here):
    key, secret = await _key(
        here.registry,
        models=["acme/*", "test/one"],
        spend_cap=pb.SpendCap(amount_nanos=5, period=pb.SPEND_PERIOD_MONTH),
        requests_per_minute=7,
        tokens_per_minute=8,
        max_active=9,
        admin=True,
    )
    caller = await here.directory.find(digest(secret))
    assert (caller.name, caller.key_id, caller.account_id) == ("ci", key.id, "zoo")
    assert (caller.prepaid, caller.admin) == (True, True)
    assert caller.cap == SpendCap(Nanos(5), "month")
    assert caller.limits == Limits(20, 9, 7, 8)
    assert caller.may_use("acme/x") and caller.may_use("test/one")
    assert not caller.may_use("test/two")


async def test_what_is_not_set_is_not_bounded(here):
    _, secret = await _key(here.registry)
    caller = await here.directory.find(digest(secret))
    assert caller.limits == Limits(20, None, None, None)
    assert (caller.cap, caller.admin, caller.may_use("any/thing")) == (None, False, True)


async def test_an_account_has_its_own_bound_and_who_pays_for_nothing_none(here):
    registry, directory = here.registry, here.directory
    await registry.create_account(pb.CreateAccountRequest(id="wide", max_active=500, prepaid=False))
    info = await directory.account("wide")
    assert (info.account_id, info.prepaid, info.max_active) == ("wide", False, 500)
    info = await directory.account("operator")
    assert (info.prepaid, info.max_active) == (False, None)
    assert await directory.account("nobody") is None


async def test_a_key_that_nobody_made_is_nobodys(here):
    assert await here.directory.find(digest("llmbase_" + "x" * 43)) is None


async def test_without_a_store_nobody_is_known():
    directory = KeyDirectory(None, AccountsConfig(), lambda: 0.0, lambda: 0.0)
    await directory.look()
    assert await directory.find(digest("x")) is None
    assert await directory.account("operator") is None


async def test_a_revocation_is_felt_here_at_once(here):
    key, secret = await _key(here.registry)
    assert await here.directory.find(digest(secret)) is not None
    await here.registry.revoke(key.id)
    assert await here.directory.find(digest(secret)) is None


async def test_a_change_is_felt_in_another_process_after_one_look(here, there, clock):
    key, secret = await _key(here.registry)
    assert await there.directory.find(digest(secret)) is not None
    await here.registry.revoke(key.id)
    clock.passed += POLL
    await there.directory.look()
    assert await there.directory.find(digest(secret)) is None


async def test_a_change_is_felt_in_another_process_that_never_looks(here, there, clock):
    key, secret = await _key(here.registry)
    assert await there.directory.find(digest(secret)) is not None
    await here.registry.revoke(key.id)
    clock.passed += AccountsConfig().key_age + 0.001
    assert await there.directory.find(digest(secret)) is None


async def test_a_key_that_was_not_there_is_known_after_one_look(here, there, clock):
    await here.registry.create_account(pb.CreateAccountRequest(id="zoo"))
    twin = random.Random()
    twin.setstate(here.registry._chance.getstate())
    key_rows.new_id(twin)
    secret = key_rows.new_secret(twin)
    assert await there.directory.find(digest(secret)) is None
    key, made = await here.registry.create_key(pb.CreateKeyRequest(account="zoo", name="ci"))
    assert made == secret
    clock.passed += POLL
    await there.directory.look()
    assert (await there.directory.find(digest(secret))).key_id == key.id


async def test_the_end_of_a_key_needs_no_look(here, there, clock):
    _, secret = await _key(here.registry, expires=int(clock.now()) + 100)
    clock.passed += 99
    assert await there.directory.find(digest(secret)) is not None
    clock.passed += 1
    assert await there.directory.find(digest(secret)) is None


async def test_the_end_of_a_rotations_overlap_needs_no_look(here, there, clock):
    old, secret = await _key(here.registry)
    request = pb.RotateKeyRequest(id=old.id, overlap_seconds=10)
    new, new_secret = await here.registry.rotate(request)
    clock.passed += 9
    for each, key in ((secret, old), (new_secret, new)):
        assert (await there.directory.find(digest(each))).key_id == key.id
    clock.passed += 1
    assert await there.directory.find(digest(secret)) is None
    assert await there.directory.find(digest(new_secret)) is not None


async def test_another_configuration_is_felt_at_once(here):
    _, secret = await _key(here.registry)
    assert (await here.directory.find(digest(secret))).limits.account_active == 20
    here.directory.configure(AccountsConfig(max_active=3))
    assert (await here.directory.find(digest(secret))).limits.account_active == 3


async def test_another_configuration_is_felt_by_every_key_that_is_remembered(here):
    key, first = await _key(here.registry)
    request = pb.CreateKeyRequest(account=key.account, name="other")
    secrets = first, (await here.registry.create_key(request))[1]
    for secret in secrets:
        assert (await here.directory.find(digest(secret))).limits.account_active == 20
    here.directory.configure(AccountsConfig(max_active=3))
    await here.directory.look()
    for secret in secrets:
        assert (await here.directory.find(digest(secret))).limits.account_active == 3


async def test_an_unchanged_store_is_asked_once_for_a_key_however_long_it_is_used(here, clock):
    _, secret = await _key(here.registry)
    await here.directory.find(digest(secret))
    read = here.directory._keys._source
    asked = []

    async def source(name):
        asked.append(name)
        return await read(name)

    here.directory._keys._source = source
    for _ in range(20):
        clock.passed += POLL
        await here.directory.look()
        assert await here.directory.find(digest(secret)) is not None
    assert asked == []


async def test_without_postgres_known_keys_go_on_and_others_are_not_called_invalid(postgres, clock):
    database = await postgres_place(postgres).open()
    try:
        here = replica(database, clock, 1)
        key, secret = await _key(here.registry)
        assert await here.directory.find(digest(secret)) is not None
        postgres.stop()
        for _ in range(10):
            clock.passed += 60
            await here.directory.look()
            assert (await here.directory.find(digest(secret))).key_id == key.id
            with pytest.raises(ServiceUnavailable):
                await here.directory.find(digest("llmbase_never-seen"))
        with pytest.raises(ServiceUnavailable):
            await here.registry.revoke(key.id)
        postgres.start()
        await here.directory.look()
        assert await here.directory.find(digest("llmbase_never-seen")) is None
        await here.registry.revoke(key.id)
        assert await here.directory.find(digest(secret)) is None
    finally:
        postgres.start_again()
        await database.close()


async def test_a_store_without_a_revision_is_no_store(here):
    async with here.database.transaction() as connection:
        await connection.execute(text("DELETE FROM changes"))
    with pytest.raises(ServiceUnavailable):
        await here.directory.find(digest("x"))


async def test_a_postgres_that_hangs_holds_nobody_up_for_long(postgres, clock):
    database = await postgres_place(postgres).open()
    try:
        here = replica(database, clock, 1)
        key, secret = await _key(here.registry)
        assert await here.directory.find(digest(secret)) is not None
        clock.passed += 60
        with postgres.frozen():
            began = time.monotonic()
            assert (await here.directory.find(digest(secret))).key_id == key.id
            for _ in range(100):  # it was asked a moment ago: not again
                assert (await here.directory.find(digest(secret))).key_id == key.id
                with pytest.raises(ServiceUnavailable):
                    await here.directory.find(digest("llmbase_never-seen"))
            assert time.monotonic() - began < 4
        clock.passed += 60
        assert await here.directory.find(digest("llmbase_never-seen")) is None
    finally:
        await database.close()
