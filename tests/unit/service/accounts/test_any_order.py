"""Whatever happens in whatever order, the books say what a model of a few lines says."""

from __future__ import annotations

import asyncio
import tempfile
from dataclasses import dataclass, field
from pathlib import Path

from hypothesis import given, settings
from hypothesis import strategies as st

from service.accounts.periods import period_of
from service.accounts.records import Reservation
from service.accounts.renewing import LAPSE
from service.errors import Error, InsufficientBalance, SpendCapReached
from tests.support.books import AT, Process, a_reservation, a_settlement, check_books, fresh

CREDIT, CAP = 1_000, 600


@dataclass
class Model:
    """Accounts and caps as one would write them down on paper."""

    balance: dict[str, int] = field(default_factory=lambda: {"acme": CREDIT, "globex": CREDIT})
    spent: dict[str, int] = field(default_factory=dict)
    open: dict[str, Reservation] = field(default_factory=dict)
    settled: set[str] = field(default_factory=set)
    released: set[str] = field(default_factory=set)

    def reserve(self, it: Reservation) -> type[Error] | None:
        """Hold money, or say why not."""
        if it.prepaid:
            held = sum(o.amount for o in self.open.values() if o.account_id == it.account_id)
            if self.balance[it.account_id] - held < it.amount:
                return InsufficientBalance
        if it.cap is not None:
            same = [o for o in self.open.values() if o.cap and _purse(o) == _purse(it)]
            if self.spent.get(_purse(it), 0) + sum(o.amount for o in same) + it.amount > CAP:
                return SpendCapReached
        self.open[it.call_id] = it
        return None

    def settle(self, it: Reservation, cost: int) -> None:
        """Charge, once."""
        if it.call_id in self.settled:
            return
        self.settled.add(it.call_id)
        self.open.pop(it.call_id, None)
        self.balance[it.account_id] -= cost
        if it.cap is not None:
            self.spent[_purse(it)] = self.spent.get(_purse(it), 0) + cost


def _purse(it: Reservation) -> str:
    assert it.cap is not None
    return f"{it.key_id} {period_of(it.cap.period, it.created)}"


STEPS = st.lists(
    st.tuples(
        st.sampled_from(
            ["reserve"] * 4 + ["settle"] * 3 + ["release", "again", "lapse", "crash", "day"]
        ),
        st.sampled_from(["acme", "globex"]),
        st.sampled_from(["one", "two"]),
        st.sampled_from([None, "day", "total"]),
        st.integers(0, 500),
        st.integers(0, 100),
    ),
    max_size=40,
)


@settings(max_examples=60, deadline=None, derandomize=True)
@given(STEPS)
def test_any_order_of_calls_lapses_and_crashes_keeps_the_books(
    steps: list[tuple[str, str, str, str | None, int, int]],
) -> None:
    with tempfile.TemporaryDirectory() as directory:
        asyncio.run(_follow(steps, Path(directory)))


async def _follow(steps: list[tuple[str, str, str, str | None, int, int]], directory: Path) -> None:
    url, model, calls, now = f"sqlite:///{directory / 'a.db'}", Model(), [], AT
    async with fresh(url, acme=CREDIT, globex=CREDIT) as database:
        process = Process(url, directory / "spool")
        await process.__aenter__()
        for what, account, key, period, amount, pick in steps:
            if what == "reserve":
                cap = (CAP, period) if period else None
                held = a_reservation(amount, account, key=f"{account}-{key}", cap=cap, created=now)
                assert await _outcome(process, held) == model.reserve(held)
                if held.call_id in model.open:
                    calls.append(held)
            elif what in ("settle", "again", "release") and calls:
                it = calls[pick % len(calls)]
                if what == "release" and it.call_id in model.open:
                    process.ledger.release(it)
                    del model.open[it.call_id]
                    model.released.add(it.call_id)
                elif what != "release" and it.call_id not in model.released:
                    for _ in range(1 + (what == "again")):
                        process.ledger.settle(a_settlement(it, it.amount - it.amount // 3))
                    model.settle(it, it.amount - it.amount // 3)
            elif what == "lapse":
                process.clock.now += LAPSE
                await process.ledger.flush()
                await process.reservations.renewal.renew()
                gone = [it for it in model.open if it not in process.ledger.held]
                assert await process.reservations.renewal.lapse() == len(gone)
                for call_id in gone:
                    del model.open[call_id]
            elif what == "crash":  # what it held is nobody's now
                await process.__aexit__()
                clock, process = process.clock, Process(url, directory / "spool")
                process.clock.now = clock.now
                await process.__aenter__()
            elif what == "day":
                now += 86_400
                process.clock.now = max(process.clock.now, float(now))
        await process.ledger.flush()
        await check_books(database)
        balances = await process.rows("SELECT id, balance_nanos FROM accounts ORDER BY id")
        assert dict(map(tuple, balances)) == model.balance
        spent = await process.rows("SELECT key_id, period, spent_nanos FROM key_spend")
        found = {f"{key_id} {period}": nanos for key_id, period, nanos in spent if nanos}
        assert found == {purse: nanos for purse, nanos in model.spent.items() if nanos}
        states = await process.rows("SELECT call_id FROM reservations WHERE state = 'open'")
        assert {call_id for (call_id,) in states} == model.open.keys()
        await process.__aexit__()


async def _outcome(process: Process, held: Reservation) -> type[Error] | None:
    try:
        await process.reservations.reserve(held)
    except Error as error:
        return type(error)
    return None
