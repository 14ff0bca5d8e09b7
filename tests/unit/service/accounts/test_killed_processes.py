"""A process that is killed leaves each call settled once or reserved, and nothing between."""

from __future__ import annotations

import asyncio
import random
import sys
from pathlib import Path

from service.accounts.renewing import LAPSE
from tests.support.books import Process, check_books, fresh, until_replayed

_PROGRAM = """
import asyncio, random, sys
from pathlib import Path
from tests.support.books import Process, a_reservation, a_settlement

async def main(url, directory):
    async with Process(url, Path(directory), capacity=5) as process:
        async def caller(chance):
            while True:
                held = a_reservation(9, cap=(10**9, "day"))
                await process.reservations.reserve(held)
                fails = chance.random() < 0.2
                print(held.call_id, "fails" if fails else "costs", flush=True)
                await asyncio.sleep(0)
                if fails:
                    process.ledger.release(held)
                else:
                    process.ledger.settle(a_settlement(held, 4))
        await asyncio.gather(*(caller(random.Random(i)) for i in range(12)))

asyncio.run(main(*sys.argv[1:]))
"""


async def test_a_killed_process_loses_no_call_and_charges_none_twice(
    store_url: str, tmp_path: Path
) -> None:
    chance = random.Random(9)
    async with fresh(store_url, acme=10**9) as database:
        asked: set[tuple[str, ...]] = set()
        for _ in range(4):
            asked |= await _killed_after(chance.randrange(20, 200), store_url, tmp_path)
        costing = {call_id for call_id, fate in asked if fate == "costs"}
        failing = {call_id for call_id, fate in asked if fate == "fails"}
        async with Process(store_url, tmp_path) as process:
            await until_replayed(process)
            await check_books(database)
            process.clock.now += LAPSE
            await process.reservations.renewal.lapse()
            rows = await process.rows("SELECT call_id, state FROM reservations")
            assert {state for _, state in rows} <= {"unsettled"}
            unsettled = {call_id for call_id, _ in rows}
            ledger = await process.rows("SELECT call_id, cost_nanos FROM ledger")
            assert not unsettled & {call_id for call_id, _ in ledger}
            assert {cost for _, cost in ledger} == {4}
            settled = {call_id for call_id, _ in ledger}
            assert costing <= unsettled | settled
            assert not failing & settled
        await check_books(database)


async def _killed_after(lines: int, url: str, directory: Path) -> set[tuple[str, ...]]:
    """Let a process make calls, and kill it; return what it has asked providers for."""
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-c", _PROGRAM, url, str(directory)), stdout=asyncio.subprocess.PIPE
    )
    assert process.stdout is not None
    read = [await process.stdout.readline() for _ in range(lines)]
    process.kill()
    read += (await process.stdout.read()).splitlines(keepends=True)
    await process.wait()
    return {tuple(line.decode().split()) for line in read if line.endswith(b"\n")}
