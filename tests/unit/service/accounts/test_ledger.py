"""What is over is settled exactly once, whatever becomes of the store and of the process."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import pytest

from service.accounts import spool_lines
from service.accounts.spool import Spool, SpoolFile
from service.errors import ServiceUnavailable
from tests.support.books import (
    Process,
    a_reservation,
    a_settlement,
    check_books,
    fresh,
    spooled_files,
    until_replayed,
)
from tests.support.metrics_page import counted
from tests.support.postgres import Postgres


async def _ledger(process: Process) -> list[Any]:
    return await process.rows("SELECT call_id, cost_nanos FROM ledger ORDER BY call_id")


async def test_the_same_settlement_twice_is_one_row_and_one_charge(
    store_url: str, tmp_path: Path
) -> None:
    held = a_reservation(100, cap=(1_000, "total"))
    over = a_settlement(held, 40)
    async with fresh(store_url, acme=1_000) as database:
        async with Process(store_url, tmp_path / "a") as one:
            await one.reservations.reserve(held)
            one.ledger.settle(over)
            one.ledger.settle(over)
            await one.ledger.flush()
            one.ledger.settle(over._replace(outcome="CANCELLED"))
            await one.ledger.flush()
            # Both have it in their spools, too, as if they had died between writing and removing.
            _left_behind(tmp_path / "a", spool_lines.encode(over))
            _left_behind(tmp_path / "b", spool_lines.encode(over) * 2)
        for name in ("a", "b"):
            async with Process(store_url, tmp_path / name) as later:
                await until_replayed(later)
                assert await _ledger(later) == [(held.call_id, 40)]
                assert await later.rows("SELECT spent_nanos, reserved_nanos FROM key_spend") == [
                    (40, 0)
                ]
        await check_books(database)


async def test_what_two_processes_settle_at_once_is_settled_once(
    store_url: str, tmp_path: Path
) -> None:
    calls = [a_reservation(10) for _ in range(50)]
    async with fresh(store_url, acme=1_000) as database:
        async with Process(store_url, tmp_path / "a") as one, Process(store_url, tmp_path) as two:
            await asyncio.gather(*(one.reservations.reserve(it) for it in calls))
            for process, order in ((one, calls), (two, calls[::-1])):
                for it in order:
                    process.ledger.settle(a_settlement(it, 3))
            await asyncio.gather(one.ledger.flush(), two.ledger.flush())
            assert len(await _ledger(one)) == 50
            assert await one.rows("SELECT balance_nanos FROM accounts") == [(850,)]
            assert not await one.rows("SELECT * FROM reservations")
        await check_books(database)


async def test_what_is_waiting_is_written_before_the_end(store_url: str, tmp_path: Path) -> None:
    calls = [a_reservation(1) for _ in range(30)]
    async with fresh(store_url, acme=1_000) as database:
        async with Process(store_url, tmp_path, linger=60.0) as process:
            await asyncio.gather(*(process.reservations.reserve(it) for it in calls))
            for it in calls:
                process.ledger.settle(a_settlement(it, 1))
        async with Process(store_url, tmp_path) as later:
            assert len(await _ledger(later)) == 30
        assert not spooled_files(tmp_path)
        await check_books(database)


async def test_a_full_queue_goes_to_disk_and_nothing_is_lost(
    store_url: str, tmp_path: Path
) -> None:
    calls = [a_reservation(1) for _ in range(50)]
    async with fresh(store_url, acme=1_000) as database:
        async with Process(store_url, tmp_path, capacity=7) as process:
            await asyncio.gather(*(process.reservations.reserve(it) for it in calls))
            for it in calls:
                process.ledger.settle(a_settlement(it, 1))
            [file] = spooled_files(tmp_path)
            assert len(file.read_bytes().splitlines()) == 43
            await until_replayed(process)
            assert len(await _ledger(process)) == 50
            assert not process.ledger.held
        await check_books(database)


async def test_what_was_on_its_way_when_a_process_died_is_settled_by_the_next(
    store_url: str, tmp_path: Path
) -> None:
    settled, released, kept = (a_reservation(10) for _ in range(3))
    async with fresh(store_url, acme=1_000) as database:
        async with Process(store_url, tmp_path / "dead") as process:
            for it in (settled, released, kept):
                await process.reservations.reserve(it)
        dead = Spool(tmp_path)
        dead.append([spool_lines.encode(a_settlement(settled, 4)), spool_lines.encode(released)])
        living = Process(store_url, tmp_path)
        async with living:
            assert not await _ledger(living), "a file that is being written is its writer's"
        dead.rotate()  # as the end of its process does
        async with Process(store_url, tmp_path) as next_one, Process(store_url, tmp_path) as other:
            await until_replayed(next_one)
            await until_replayed(other)
            assert await _ledger(next_one) == [(settled.call_id, 4)]
            assert await next_one.rows("SELECT call_id FROM reservations") == [(kept.call_id,)]
        await check_books(database)


async def test_a_torn_line_is_put_aside_and_what_is_whole_is_settled(
    store_url: str, tmp_path: Path
) -> None:
    held = a_reservation(10)
    async with fresh(store_url, acme=1_000) as database:
        line = spool_lines.encode(a_settlement(held, 4))
        _left_behind(tmp_path, line + line[: len(line) // 2])
        async with Process(store_url, tmp_path) as process:
            await until_replayed(process)
            assert await _ledger(process) == [(held.call_id, 4)]
        assert (tmp_path / "refused.log").read_bytes().strip() == line[: len(line) // 2]
        await check_books(database)


async def test_what_no_account_can_pay_is_put_aside_and_holds_nobody_up(
    store_url: str, tmp_path: Path
) -> None:
    good = [a_reservation(1) for _ in range(5)]
    async with fresh(store_url, acme=1_000) as database:
        async with Process(store_url, tmp_path) as process:
            for it in (good[0], a_reservation(1, "nobody"), *good[1:]):
                process.ledger.settle(a_settlement(it, 1))
            await process.ledger.flush()
            assert len(await _ledger(process)) == 5
            page = process.metrics.render()
            assert counted(page, "llmbase_ledger_refused_total") == {(): 1}
        [line] = (tmp_path / "refused.log").read_bytes().splitlines()
        assert spool_lines.decode(line).account_id == "nobody"
        await check_books(database)


async def test_a_store_that_is_away_costs_nobody_a_settlement(
    postgres: Postgres, tmp_path: Path
) -> None:
    url = postgres.new_database()
    calls = [a_reservation(10, cap=(1_000, "day")) for _ in range(20)]
    async with fresh(url, acme=1_000) as database:
        async with Process(url, tmp_path, patience=2.0) as process:
            await asyncio.gather(*(process.reservations.reserve(it) for it in calls))
            postgres.stop()
            try:
                for it in calls[:10]:
                    process.ledger.settle(a_settlement(it, 4))
                await process.ledger.flush()
                [file] = spooled_files(tmp_path)
                assert len(file.read_bytes().splitlines()) == 10
                with pytest.raises(ServiceUnavailable):
                    await process.reservations.reserve(a_reservation(1))
                for it in calls[10:]:
                    process.ledger.release(it)
                await process.ledger.flush()
                assert len(file.read_bytes().splitlines()) == 20
                assert len(process.ledger.held) == 20, "it renews what is in the spool"
            finally:
                postgres.start()
            process.clock.now += 60.0
            await until_replayed(process)
            assert await process.rows("SELECT balance_nanos, reserved_nanos FROM accounts") == [
                (960, 0)
            ]
            assert not process.ledger.held
            await process.reservations.reserve(a_reservation(1))
        await check_books(database)


async def test_what_cannot_be_written_at_the_end_is_there_for_the_next_process(
    postgres: Postgres, tmp_path: Path
) -> None:
    url = postgres.new_database()
    calls = [a_reservation(10) for _ in range(20)]
    async with fresh(url, acme=1_000) as database:
        async with Process(url, tmp_path, patience=2.0, linger=60.0) as process:
            await asyncio.gather(*(process.reservations.reserve(it) for it in calls))
            for it in calls:
                process.ledger.settle(a_settlement(it, 4))
            postgres.abandon()
        postgres.start()
        async with Process(url, tmp_path) as process:
            await until_replayed(process)
            assert len(await _ledger(process)) == 20
        await check_books(database)


async def test_after_the_end_settlements_go_to_the_spool(store_url: str, tmp_path: Path) -> None:
    held = a_reservation(10)
    async with fresh(store_url, acme=1_000) as database:
        process = Process(store_url, tmp_path)
        async with process:
            pass
        process.ledger.settle(a_settlement(held, 4))
        process.spool.rotate()
        async with Process(store_url, tmp_path) as later:
            await until_replayed(later)
            assert await _ledger(later) == [(held.call_id, 4)]
        await check_books(database)


async def test_a_disk_that_is_full_keeps_settlements_in_memory(
    store_url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(_lines: object) -> None:
        raise OSError(28, "No space left on device")

    calls = [a_reservation(1) for _ in range(20)]
    async with fresh(store_url, acme=1_000) as database:
        async with Process(store_url, tmp_path, capacity=3) as process:
            monkeypatch.setattr(process.spool, "append", full)
            for it in calls:
                process.ledger.settle(a_settlement(it, 1))
            await process.ledger.flush()
            assert len(await _ledger(process)) == 20
        await check_books(database)


async def test_a_file_that_cannot_be_read_keeps_nothing_else_from_the_store(
    store_url: str, tmp_path: Path
) -> None:
    one, two = a_reservation(1), a_reservation(1)
    async with fresh(store_url, acme=1_000) as database:
        (tmp_path / "0-of-somebody-else.jsonl").mkdir()
        _left_behind(tmp_path, spool_lines.encode(a_settlement(one, 1)))
        async with Process(store_url, tmp_path) as process:
            async with asyncio.timeout(10):
                while len(spooled_files(tmp_path)) > 1:
                    await asyncio.sleep(0.01)
                    await process.ledger.flush()
            await process.reservations.reserve(two)
            process.ledger.settle(a_settlement(two, 1))
            await process.ledger.flush()
            assert len(await _ledger(process)) == 2
        await check_books(database)


async def test_a_file_that_cannot_be_removed_is_replayed_again_and_settled_once(
    store_url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def read_only(_file: object) -> None:
        raise OSError(30, "Read-only file system")

    one, two = a_reservation(1), a_reservation(1)
    async with fresh(store_url, acme=1_000) as database:
        _left_behind(tmp_path, spool_lines.encode(a_settlement(one, 1)))
        async with Process(store_url, tmp_path) as process:
            with monkeypatch.context() as patch:
                patch.setattr(SpoolFile, "remove", read_only)
                process.ledger.settle(a_settlement(two, 1))
                await process.ledger.flush()
                assert len(await _ledger(process)) == 2
                assert len(spooled_files(tmp_path)) == 1
            process.clock.now += 60.0
            process.ledger.settle(a_settlement(two, 1))  # it has it look at the clock
            await until_replayed(process)
            assert len(await _ledger(process)) == 2
        await check_books(database)


async def test_a_provider_behind_another_llmbase_can_have_a_long_name(
    store_url: str, tmp_path: Path
) -> None:
    held = a_reservation(10)
    async with fresh(store_url, acme=1_000) as database:
        async with Process(store_url, tmp_path) as process:
            await process.reservations.reserve(held)
            process.ledger.settle(a_settlement(held, 4, provider=f"{'a' * 64}/{'b' * 128}"))
            await process.ledger.flush()
            assert await _ledger(process) == [(held.call_id, 4)]
        await check_books(database)


async def test_without_store_and_disk_it_is_tried_now_and_then_and_kept(
    store_url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    tries = 0

    def full(_lines: object) -> None:
        nonlocal tries
        tries += 1
        raise OSError(28, "No space left on device")

    async with fresh(store_url, acme=1_000) as database:
        async with Process(store_url, tmp_path) as process:
            with monkeypatch.context() as patch:
                patch.setattr(process.spool, "append", full)
                patch.setattr(process.ledger, "_is_away", lambda: True)
                for _ in range(20):
                    process.ledger.settle(a_settlement(a_reservation(1), 1))
                await asyncio.sleep(0.5)
            assert 0 < tries < 5
        async with Process(store_url, tmp_path) as later:
            await until_replayed(later)
            assert len(await _ledger(later)) == 20
        await check_books(database)


def test_a_line_has_all_of_a_settlement() -> None:
    over = a_settlement(a_reservation(2**60, cap=(5, "month")), 2**53 + 1, 7, provider_cost=3)
    assert spool_lines.decode(spool_lines.encode(over)) == over
    bare = a_settlement(a_reservation(1), 1, reservation=None, price_version=None)
    assert spool_lines.decode(spool_lines.encode(bare)) == bare
    held = a_reservation(2**60, prepaid=False)
    assert spool_lines.decode(spool_lines.encode(held)) == held
    for broken in (b"", b"{", b"[]", b"{}", b'{"settle":{}}', b'{"release":{"cap":null}}', b"7"):
        with pytest.raises(ValueError, match=r"."):
            spool_lines.decode(broken)


def _left_behind(directory: Path, lines: bytes) -> None:
    """Put a file there as a process that is dead by now has."""
    spool = Spool(directory)
    spool.append([lines])
    spool.rotate()
