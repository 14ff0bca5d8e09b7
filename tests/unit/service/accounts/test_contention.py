"""Many callers at one balance or cap: never over, and nobody refused while there is money.

Several engines on one database are several processes to it; the last test has real ones.
"""

from __future__ import annotations

import asyncio
import contextlib
import random
import sys
from collections.abc import AsyncIterator, Awaitable
from pathlib import Path

import pytest

from service.errors import Error, InsufficientBalance, SpendCapReached
from tests.support.books import Process, a_reservation, a_settlement, check_books, fresh
from tests.support.postgres import Postgres

CALLERS = 200


@contextlib.asynccontextmanager
async def processes(url: str, directory: Path, count: int) -> AsyncIterator[list[Process]]:
    async with contextlib.AsyncExitStack() as stack:
        yield [
            await stack.enter_async_context(Process(url, directory / f"spool{i}"))
            for i in range(count)
        ]


async def _refusals(calls: list[Awaitable[None]]) -> list[Error | None]:
    results = await asyncio.gather(*calls, return_exceptions=True)
    for it in results:
        assert it is None or isinstance(it, InsufficientBalance | SpendCapReached), it
    return results  # type: ignore[return-value]


@pytest.mark.parametrize("engines", [1, 4])
async def test_two_hundred_callers_get_exactly_the_balance(
    store_url: str, tmp_path: Path, engines: int
) -> None:
    async with (
        fresh(store_url, acme=1_000) as database,
        processes(store_url, tmp_path, engines) as every,
    ):
        refused = await _refusals(
            [every[i % engines].reservations.reserve(a_reservation(7)) for i in range(CALLERS)]
        )
        assert refused.count(None) == 1_000 // 7
        await check_books(database)


@pytest.mark.parametrize("engines", [1, 4])
async def test_two_hundred_callers_get_exactly_the_cap(
    store_url: str, tmp_path: Path, engines: int
) -> None:
    async with (
        fresh(store_url, acme=10**9, operator=None) as database,
        processes(store_url, tmp_path, engines) as every,
    ):
        refused = await _refusals(
            [
                every[i % engines].reservations.reserve(
                    a_reservation(
                        7,
                        "acme" if i % 3 else "operator",
                        prepaid=bool(i % 3),
                        cap=(1_000, "day"),
                    )
                )
                for i in range(CALLERS)
            ]
        )
        assert refused.count(None) == 1_000 // 7
        await check_books(database)


@pytest.mark.parametrize("engines", [1, 3])
async def test_calls_of_all_sizes_come_and_go_and_a_refusal_always_has_its_reason(
    store_url: str, tmp_path: Path, engines: int
) -> None:
    """Costs are as reserved: money only goes down, and who is refused would be later, too."""
    chance = random.Random(engines)
    sizes = [chance.choice((1, 10, 250, 1_000)) for _ in range(CALLERS)]
    async with fresh(store_url, acme=10_000) as database:
        async with processes(store_url, tmp_path, engines) as every:

            async def call(i: int) -> None:
                process, held = every[i % engines], a_reservation(sizes[i])
                await process.reservations.reserve(held)
                process.ledger.settle(a_settlement(held, sizes[i]))

            refused = await _refusals([call(i) for i in range(CALLERS)])
            for process in every:
                await process.ledger.flush()
            [(balance, reserved)] = await every[0].rows(
                "SELECT balance_nanos, reserved_nanos FROM accounts"
            )
            assert reserved == 0
            spent = sum(size for size, it in zip(sizes, refused, strict=True) if it is None)
            assert balance == 10_000 - spent >= 0
            least = min((s for s, it in zip(sizes, refused, strict=True) if it), default=None)
            assert least is None or balance < least
        await check_books(database)


@pytest.mark.parametrize("work", ["reserve", "come and go"])
async def test_many_accounts_and_keys_in_any_order_never_lock_each_other_out(
    store_url: str, tmp_path: Path, work: str
) -> None:
    accounts: dict[str, int | None] = {f"acme{i}": 10**9 for i in range(12)}
    chance = random.Random(12)
    async with fresh(store_url, **accounts) as database:
        async with processes(store_url, tmp_path, 4) as every:

            async def caller(process: Process) -> None:
                for _ in range(12):
                    held = a_reservation(
                        chance.randrange(1, 1_000),
                        f"acme{chance.randrange(12)}",
                        key=f"key{chance.randrange(12)}",
                        cap=(10**9, chance.choice(("day", "month", "total"))),
                    )
                    await process.reservations.reserve(held)
                    if work == "reserve":
                        continue
                    if chance.random() < 0.2:
                        process.ledger.release(held)
                    else:
                        process.ledger.settle(a_settlement(held, held.amount - 1))
                    if chance.random() < 0.1:
                        await process.reservations.renewal.renew()

            await asyncio.gather(*(caller(process) for process in every for _ in range(10)))
        await check_books(database)


_PROGRAM = """
import asyncio, sys
from pathlib import Path
from service.errors import InsufficientBalance
from tests.support.books import Process, a_reservation, a_settlement

async def main(url, directory):
    async with Process(url, Path(directory)) as process:
        async def call():
            held = a_reservation(7)
            try:
                await process.reservations.reserve(held)
            except InsufficientBalance:
                return 0
            await asyncio.sleep(0)
            process.ledger.settle(a_settlement(held, 7))
            return 1
        print(sum(await asyncio.gather(*(call() for _ in range(100)))))

asyncio.run(main(*sys.argv[1:]))
"""


async def test_three_processes_share_one_balance(postgres: Postgres, tmp_path: Path) -> None:
    url = postgres.new_database()
    async with fresh(url, acme=1_000) as database:
        started = [
            await asyncio.create_subprocess_exec(
                *(sys.executable, "-c", _PROGRAM, url, str(tmp_path / f"spool{i}")),
                stdout=asyncio.subprocess.PIPE,
            )
            for i in range(3)
        ]
        answers = await asyncio.gather(*(it.communicate() for it in started))
        assert [it.returncode for it in started] == [0, 0, 0]
        assert sum(int(out) for out, _ in answers) == 1_000 // 7
        await check_books(database)
