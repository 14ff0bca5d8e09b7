"""Money is held before a call and settled once: on SQLite and on PostgreSQL."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from service.errors import InsufficientBalance, SpendCapReached
from tests.support.books import DAY, Process, a_reservation, a_settlement, check_books, fresh


async def test_a_call_holds_its_worst_case_and_pays_what_it_cost(
    store_url: str, tmp_path: Path
) -> None:
    held = a_reservation(600, cap=(1000, "day"))
    async with fresh(store_url, acme=1000) as database:
        async with Process(store_url, tmp_path) as process:
            await process.reservations.reserve(held)
            assert await process.rows("SELECT balance_nanos, reserved_nanos FROM accounts") == [
                (1000, 600)
            ]
            await check_books(database)
            process.ledger.settle(a_settlement(held, 250, excess=5))
            await process.ledger.flush()
            assert await process.rows("SELECT balance_nanos, reserved_nanos FROM accounts") == [
                (750, 0)
            ]
            assert await process.rows("SELECT * FROM key_spend") == [("key", DAY, 250, 0)]
            assert await process.rows("SELECT * FROM reservations") == []
            assert not process.ledger.held
            [row] = await process.rows("SELECT * FROM ledger")
            assert (row.call_id, row.day, row.cost_nanos, row.excess_nanos, row.reserved_nanos) == (
                held.call_id,
                DAY,
                250,
                5,
                600,
            )
        await check_books(database)


async def test_a_call_that_failed_gives_everything_back(store_url: str, tmp_path: Path) -> None:
    held = a_reservation(1000, cap=(1000, "month"))
    async with fresh(store_url, acme=1000) as database:
        async with Process(store_url, tmp_path) as process:
            await process.reservations.reserve(held)
            process.ledger.release(held)
            process.ledger.release(held)
            await process.ledger.flush()
            assert await process.rows("SELECT balance_nanos, reserved_nanos FROM accounts") == [
                (1000, 0)
            ]
            assert await process.rows("SELECT * FROM ledger") == []
        await check_books(database)


async def test_who_has_not_enough_is_refused_and_holds_nothing(
    store_url: str, tmp_path: Path
) -> None:
    async with fresh(store_url, acme=1000) as database:
        async with Process(store_url, tmp_path) as process:
            with pytest.raises(InsufficientBalance) as refused:
                await process.reservations.reserve(a_reservation(1001))
            assert refused.value.quotas[0].subject == "account:acme"
            with pytest.raises(SpendCapReached) as capped:
                await process.reservations.reserve(a_reservation(900, cap=(899, "total")))
            assert capped.value.quotas[0].subject == "key:key"
            with pytest.raises(InsufficientBalance):
                await process.reservations.reserve(a_reservation(2**80))
            with pytest.raises(InsufficientBalance):
                await process.reservations.reserve(a_reservation(1, "nobody"))
            assert await process.rows("SELECT * FROM reservations") == []
            await process.reservations.reserve(a_reservation(1000, cap=(1000, "total")))
        await check_books(database)


async def test_money_that_a_capped_call_gives_back_serves_the_next_of_its_group(
    store_url: str, tmp_path: Path
) -> None:
    async with fresh(store_url, acme=1000) as database:
        async with Process(store_url, tmp_path) as process:
            await process.reservations.reserve(a_reservation(100, key="capped", cap=(100, "day")))
            calls = [a_reservation(90, key="capped", cap=(100, "day")) for _ in range(10)]
            calls += [a_reservation(300) for _ in range(3)]
            results = await asyncio.gather(
                *(process.reservations.reserve(it) for it in calls), return_exceptions=True
            )
            assert [type(it) for it in results] == [SpendCapReached] * 10 + [type(None)] * 3
        await check_books(database)


async def test_an_account_that_pays_later_needs_no_row_unless_its_key_is_capped(
    store_url: str, tmp_path: Path
) -> None:
    free = a_reservation(500, "operator", prepaid=False)
    capped = a_reservation(500, "operator", prepaid=False, cap=(600, "day"))
    async with fresh(store_url, operator=None) as database:
        async with Process(store_url, tmp_path) as process:
            await process.reservations.reserve(free)
            await process.reservations.reserve(capped)
            assert len(await process.rows("SELECT * FROM reservations")) == 1
            with pytest.raises(SpendCapReached):
                await process.reservations.reserve(
                    a_reservation(101, "operator", prepaid=False, cap=(600, "day"))
                )
            process.ledger.settle(a_settlement(free, 70, reservation=None))
            process.ledger.settle(a_settlement(capped, 80))
            await process.ledger.flush()
            accounts = await process.rows("SELECT balance_nanos, reserved_nanos FROM accounts")
            assert accounts == [(-150, 0)]
        await check_books(database)


async def test_a_refusal_waits_for_what_is_over_but_not_written_yet(
    store_url: str, tmp_path: Path
) -> None:
    async with fresh(store_url, acme=1000) as database:
        async with Process(store_url, tmp_path, linger=60.0) as process:
            for _ in range(20):
                held = a_reservation(1000)
                await process.reservations.reserve(held)
                process.ledger.release(held)
        await check_books(database)
