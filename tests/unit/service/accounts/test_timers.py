"""When accounts look, renew and try again, and how long they wait: in virtual time."""

from __future__ import annotations

import asyncio
import contextlib
import random
from pathlib import Path
from typing import Any

import pytest

from service.accounts.accounts import Accounts
from service.accounts.directory import KeyDirectory
from service.accounts.prices import PriceTable
from service.accounts.renewing import Renewal
from service.accounts.shared_limits import SharedLimiter
from service.accounts.shared_scripts import LEAVE
from service.config import AccountsConfig, Config
from telemetry.metrics import Metrics
from tests.unit.service.accounts.test_shared_line import _Refused, _Server
from tests.unit.virtual_time import in_virtual_time, now

KEY_AGE = AccountsConfig().key_age


class _Silent:
    """A store that does not answer."""

    @contextlib.asynccontextmanager
    async def reading(self) -> Any:
        await asyncio.Event().wait()
        yield


@in_virtual_time
async def test_reservations_are_renewed_every_200_seconds_and_soon_when_that_failed(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    renewal, rounds = Renewal(_Silent(), set(), lambda: 0.0, Metrics({})), []

    async def one_round() -> bool:
        rounds.append(now())
        return not 600 <= now() < 610

    monkeypatch.setattr(renewal, "round", one_round)
    running = asyncio.create_task(renewal.run())
    await asyncio.sleep(1000)
    running.cancel()
    assert rounds == [0, 200, 400, 600, 605, 610, 810]


@pytest.mark.parametrize(("store", "pause"), [(_Silent(), KEY_AGE / 2), (None, 3600)])
@in_virtual_time
async def test_changes_of_keys_are_looked_for_twice_in_the_time_they_may_take(
    store: _Silent | None, pause: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    directory = KeyDirectory(store, AccountsConfig(), lambda: 0.0, lambda: 0.0)
    looked: list[float] = []

    async def look() -> None:
        looked.append(now())

    monkeypatch.setattr(directory, "look", look)
    running = asyncio.create_task(directory.run())
    await asyncio.sleep(3.5 * pause)
    running.cancel()
    assert looked == [pause, 2 * pause, 3 * pause]


@in_virtual_time
async def test_a_store_that_does_not_answer_a_look_is_away_after_a_second() -> None:
    clock = asyncio.get_running_loop().time
    directory = KeyDirectory(_Silent(), AccountsConfig(), lambda: 0.0, clock)
    await directory.look()
    assert (now(), directory._freshness.is_away) == (1, True)


@in_virtual_time
async def test_accounts_that_could_not_be_made_are_tried_again_every_five_seconds(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    config = Config(providers={}, models={}, store=None)
    accounts = Accounts(config, tmp_path, Metrics({}), random.Random(1), str)
    tried: list[float] = []

    async def adopted(*_: object) -> bool:
        tried.append(now())
        return len(tried) == 3

    monkeypatch.setattr(accounts, "_adopted", adopted)
    await accounts._adopt_again(config, PriceTable({}))
    assert tried == [5, 10, 15]
    await accounts.close()


def limiter(server: _Server) -> SharedLimiter:
    clock = asyncio.get_running_loop().time
    chance = random.Random(1)
    return SharedLimiter(server.connection, _Refused, 0.05, Metrics({}), chance, clock=clock)


@in_virtual_time
async def test_leases_are_renewed_three_times_in_their_life_and_when_the_server_is_back(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    shared, renewed = limiter(_Server()), []

    async def renew() -> None:
        renewed.append(now())

    monkeypatch.setattr(shared, "renew", renew)
    await shared.start()
    await asyncio.sleep(12)
    shared._back.set()
    await asyncio.sleep(9)
    await shared.close()
    assert renewed == [5, 10, 12, 17]


@in_virtual_time
async def test_a_limiter_that_closes_has_a_second_to_tell_who_has_left() -> None:
    server = _Server()
    server.connecting = 100
    shared = limiter(server)
    await shared.start()
    shared._line.tell(LEAVE, ("k",), ("1",))
    await asyncio.sleep(10)
    await shared.close()
    assert now() == 11
