"""A caller that leaves while its money is being held leaves nothing held."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from service.errors import ServiceUnavailable
from service.store.direct import Unsure
from tests.support.books import Process, a_reservation, check_books, fresh


async def test_who_leaves_at_any_moment_of_the_write_leaves_nothing_held(
    store_url: str, tmp_path: Path
) -> None:
    chance = random.Random(7)
    async with (
        fresh(store_url, acme=10**6) as database,
        Process(store_url, tmp_path) as process,
    ):

        async def caller() -> int:
            task = asyncio.create_task(process.reservations.reserve(a_reservation(1)))
            for _ in range(chance.randrange(40)):
                await asyncio.sleep(0)
            task.cancel()
            try:
                await task
            except asyncio.CancelledError:
                return 0
            return 1

        kept = sum([sum(await asyncio.gather(*(caller() for _ in range(8)))) for _ in range(40)])
        # What is written for nobody is given back when it is written, a little later.
        async with asyncio.timeout(60):
            while len(await process.rows("SELECT * FROM reservations")) != kept:
                await asyncio.sleep(0.01)
                await process.ledger.flush()
        assert len(process.ledger.held) == kept
        await check_books(database)


async def test_who_leaves_while_the_store_commits_leaves_nothing_held(
    store_url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with fresh(store_url, acme=1_000) as database:
        async with Process(store_url, tmp_path) as process:
            written, go = asyncio.Event(), asyncio.Event()
            run = process.database.run

            async def slow(work: Callable[[], Any]) -> Any:
                result = await run(work)
                written.set()
                await go.wait()
                return result

            monkeypatch.setattr(process.database, "run", slow)
            task = asyncio.create_task(process.reservations.reserve(a_reservation(1_000)))
            await written.wait()
            task.cancel()
            with pytest.raises(asyncio.CancelledError):
                await task
            go.set()
            monkeypatch.setattr(process.database, "run", run)
            await process.reservations.reserve(a_reservation(1_000))
        await check_books(database)


async def test_what_may_have_been_committed_when_the_store_went_away_is_given_back(
    store_url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with fresh(store_url, acme=1_000) as database:
        async with Process(store_url, tmp_path) as process:
            run = process.database.run

            async def unsure(work: Callable[[], Any]) -> Any:
                await run(work)
                raise Unsure("ConnectionLost")

            monkeypatch.setattr(process.database, "run", unsure)
            with pytest.raises(ServiceUnavailable):
                await process.reservations.reserve(a_reservation(1_000))
            monkeypatch.setattr(process.database, "run", run)
            await process.ledger.flush()
            await process.reservations.reserve(a_reservation(1_000))
        await check_books(database)


async def test_who_comes_after_the_end_is_refused(store_url: str, tmp_path: Path) -> None:
    async with fresh(store_url, acme=1_000):
        process = Process(store_url, tmp_path)
        with pytest.raises(ServiceUnavailable):
            await process.reservations.reserve(a_reservation(1))
        async with process:
            await process.reservations.reserve(a_reservation(1))
        with pytest.raises(ServiceUnavailable):
            await process.reservations.reserve(a_reservation(1))
