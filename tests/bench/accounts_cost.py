"""What accounts add to a call, in CPU of our process: reserved before it, settled after it.

    .venv/bin/python -m tests.bench.accounts_cost             SQLite, in a directory of its own
    .venv/bin/python -m tests.bench.accounts_cost postgres    a PostgreSQL that is started for it

64 calls are in flight at a time, each for as long as `--call` says (50 ms). The best of three runs
counts: other processes' use of the machine is not ours.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import uvloop

from tests.support.books import Process, a_reservation, a_settlement, check_books, fresh
from tests.support.postgres import running_postgres

IN_FLIGHT = 64
CREDIT = 10**15


async def cpu(process: Process | None, calls: int, seconds: float, accounts: int) -> float:
    """The CPU of so many calls, in seconds; without a process that of the loop alone."""

    async def caller(number: int) -> None:
        for _ in range(calls // IN_FLIGHT):
            held = a_reservation(10**6, f"acme{number % accounts}", cap=(CREDIT, "day"))
            if process is not None:
                await process.reservations.reserve(held)
            await asyncio.sleep(seconds)
            over = a_settlement(held, 10**5)
            if process is not None:
                process.ledger.settle(over)

    began = time.process_time()
    await asyncio.gather(*map(caller, range(IN_FLIGHT)))
    if process is not None:
        await process.ledger.flush()
    return time.process_time() - began


async def measure(url: str, directory: Path, calls: int, seconds: float, accounts: int) -> None:
    names = {f"acme{i}": CREDIT for i in range(accounts)}
    async with fresh(url, **names) as database:
        async with Process(url, directory, linger=0.02) as process:
            await cpu(process, IN_FLIGHT * 2, seconds, accounts)  # statements are prepared once
            base = min([await cpu(None, calls, seconds, accounts) for _ in range(3)])
            paid = min([await cpu(process, calls, seconds, accounts) for _ in range(3)])
        await check_books(database)
    print(f"{accounts:3} accounts: {(paid - base) / calls * 1000:.3f} ms of CPU a call")


@contextlib.contextmanager
def store(kind: str, directory: Path) -> Iterator[str]:
    if kind == "sqlite":
        yield f"sqlite:///{directory / 'llmbase.db'}"
    else:
        with running_postgres() as server:
            yield server.new_database()


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("store", nargs="?", choices=("sqlite", "postgres"), default="sqlite")
    parser.add_argument("--calls", type=int, default=3200)
    parser.add_argument("--call", type=float, default=0.05)
    chosen = parser.parse_args()
    for accounts in (1, 8, 64):
        with tempfile.TemporaryDirectory() as name, store(chosen.store, Path(name)) as url:
            uvloop.run(measure(url, Path(name), chosen.calls, chosen.call, accounts))


if __name__ == "__main__":
    main()
