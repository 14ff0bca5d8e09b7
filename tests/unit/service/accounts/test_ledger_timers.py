"""When what is over is written, and tried again: in virtual time, before a store that is none."""

from __future__ import annotations

import asyncio
import contextlib
from pathlib import Path
from typing import Any

import pytest

from service.accounts.ledger import Ledger
from service.accounts.spool import Spool
from service.store.direct import StoreDown
from telemetry.metrics import Metrics
from tests.support.books import a_reservation, spooled_files
from tests.unit.virtual_time import in_virtual_time, now


class _Store:
    """Does nothing with what it is asked; `asked` says when that was."""

    def __init__(self) -> None:
        self.asked: list[float] = []
        self.away = False

    async def run(self, work: object) -> list[Any]:
        self.asked.append(now())
        if self.away:
            raise StoreDown("gone")
        return []


def times(*expected: float) -> Any:
    return pytest.approx(list(expected))


@contextlib.asynccontextmanager
async def writing(store: _Store, spool: Spool) -> Any:
    """A ledger that has been writing for five seconds."""
    ledger = Ledger(store, spool, asyncio.get_running_loop().time, Metrics({}))
    await ledger.start()
    await asyncio.sleep(5)
    try:
        yield ledger
    finally:
        store.away = False
        await ledger.close()


@in_virtual_time
async def test_what_is_over_waits_two_hundredths_of_a_second_for_others(tmp_path: Path) -> None:
    store = _Store()
    async with writing(store, Spool(tmp_path)) as ledger:
        ledger.release(a_reservation(1))
        await asyncio.sleep(0.015)
        ledger.release(a_reservation(1))
        await asyncio.sleep(1)
        assert store.asked == times(5.02)


@in_virtual_time
async def test_a_store_that_is_away_is_asked_every_two_seconds(tmp_path: Path) -> None:
    store = _Store()
    async with writing(store, Spool(tmp_path)) as ledger:
        store.away = True
        ledger.release(a_reservation(1))
        await asyncio.sleep(7)
        assert store.asked == times(5.02, 7.02, 9.02, 11.02)


@in_virtual_time
async def test_what_neither_store_nor_disk_takes_is_not_tried_in_a_circle(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    store, spool, tried = _Store(), Spool(tmp_path), []

    def full(lines: Any) -> None:
        tried.append(now())
        raise OSError

    async with writing(store, spool) as ledger:
        store.away = True
        with monkeypatch.context() as patch:
            patch.setattr(spool, "append", full)
            ledger.release(a_reservation(1))
            await asyncio.sleep(6)
        assert store.asked == tried == times(5.02, 7.04, 9.06)


@in_virtual_time
async def test_the_spool_is_looked_at_every_half_minute_for_what_others_have_left(
    tmp_path: Path,
) -> None:
    store = _Store()
    async with writing(store, Spool(tmp_path)):
        dead = Spool(tmp_path)
        dead.append([b"no entry\n"])
        dead.rotate()
        await asyncio.sleep(24.9)
        assert spooled_files(tmp_path)
        await asyncio.sleep(0.2)
        assert not spooled_files(tmp_path)
