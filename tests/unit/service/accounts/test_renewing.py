"""What nobody renews lapses; what runs never does. On a clock that is moved by hand."""

from __future__ import annotations

import asyncio
from pathlib import Path

from service.accounts.renewing import LAPSE
from tests.support.books import DAY, Process, a_reservation, a_settlement, check_books, fresh

ROUND = LAPSE // 3


async def test_a_reservation_lapses_ten_minutes_after_the_last_renewal_and_its_money_is_free(
    store_url: str, tmp_path: Path
) -> None:
    held = a_reservation(900, cap=(1_000, "day"))
    async with fresh(store_url, acme=1_000) as database:
        async with Process(store_url, tmp_path / "dead") as dead:
            await dead.reservations.reserve(held)
            dead.clock.now += 100
            await dead.reservations.renewal.renew()
        async with Process(store_url, tmp_path) as living:
            living.clock.now += 100 + LAPSE - 1
            assert await living.reservations.renewal.lapse() == 0
            living.clock.now += 1
            assert await living.reservations.renewal.lapse() == 1
            assert await living.reservations.renewal.lapse() == 0
            [row] = await living.rows("SELECT * FROM reservations")
            assert (row.call_id, row.request_id, row.state) == (
                held.call_id,
                held.request_id,
                "unsettled",
            )
            await check_books(database)
            await living.reservations.reserve(a_reservation(1_000, cap=(1_000, "day")))


async def test_a_settlement_after_the_lapse_is_charged_once_and_frees_nothing_twice(
    store_url: str, tmp_path: Path
) -> None:
    held = a_reservation(900, cap=(1_000, "day"))
    async with fresh(store_url, acme=1_000) as database:
        async with Process(store_url, tmp_path) as process:
            await process.reservations.reserve(held)
            process.clock.now += LAPSE
            assert await process.reservations.renewal.lapse() == 1
            for _ in range(2):
                process.ledger.settle(a_settlement(held, 300))
                await process.ledger.flush()
            assert await process.rows("SELECT balance_nanos, reserved_nanos FROM accounts") == [
                (700, 0)
            ]
            assert await process.rows("SELECT * FROM key_spend") == [("key", DAY, 300, 0)]
            assert not await process.rows("SELECT * FROM reservations")
        await check_books(database)


async def test_a_call_that_runs_for_hours_never_lapses(store_url: str, tmp_path: Path) -> None:
    async with fresh(store_url, acme=1_000) as database:
        async with (
            Process(store_url, tmp_path / "a") as one,
            Process(store_url, tmp_path / "b") as two,
        ):
            await one.reservations.reserve(a_reservation(100))
            for _ in range(30):
                for process in (two, one):
                    process.clock.now += ROUND
                    assert await process.reservations.renewal.round()
            [row] = await one.rows("SELECT * FROM reservations")
            assert row.state == "open"
        await check_books(database)


async def test_after_an_outage_everybody_has_time_to_renew_before_anything_lapses(
    store_url: str, tmp_path: Path
) -> None:
    async with fresh(store_url, acme=1_000) as database:
        async with (
            Process(store_url, tmp_path / "a") as one,
            Process(store_url, tmp_path / "b") as two,
        ):
            held = a_reservation(100)
            await one.reservations.reserve(held)
            assert await two.reservations.renewal.round()
            for process in (one, two):
                process.clock.now += 2 * LAPSE  # the store was away for as long
            two.reservations.renewal.interrupted()
            assert await two.reservations.renewal.round()
            assert await one.reservations.renewal.round()
            two.clock.now += ROUND
            assert await two.reservations.renewal.round()
            assert [row.state for row in await two.rows("SELECT state FROM reservations")] == [
                "open"
            ]
        await check_books(database)


async def test_hundreds_lapse_in_one_round(store_url: str, tmp_path: Path) -> None:
    calls = [a_reservation(1, f"acme{i % 5}", cap=(10_000, "total")) for i in range(1_200)]
    accounts: dict[str, int | None] = {f"acme{i}": 10_000 for i in range(5)}
    async with fresh(store_url, **accounts) as database:
        async with Process(store_url, tmp_path / "dead") as dead:
            await asyncio.gather(*(dead.reservations.reserve(it) for it in calls))
        async with Process(store_url, tmp_path) as living:
            renewal = living.reservations.renewal
            assert await renewal.round()
            living.clock.now += LAPSE
            assert await renewal.round()
            states = await living.rows("SELECT DISTINCT state FROM reservations")
            assert states == [("unsettled",)]
        await check_books(database)


async def test_what_another_process_has_settled_is_not_renewed_for_ever(
    store_url: str, tmp_path: Path
) -> None:
    mine, others = a_reservation(10), a_reservation(10)
    async with fresh(store_url, acme=1_000) as database:
        async with Process(store_url, tmp_path / "a") as one:
            await one.reservations.reserve(mine)
            await one.reservations.reserve(others)
            async with Process(store_url, tmp_path / "b") as two:
                two.ledger.settle(a_settlement(others, 4))  # it has taken it out of our spool
                await two.ledger.flush()
            await one.reservations.renewal.renew()
            assert one.ledger.held == {mine.call_id}
        await check_books(database)
