"""What must be in the store after crashes, whatever had been going on; read by SQL of its own."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from tests.support.postgres import Postgres

PROMPT, COMPLETION = 1_000, 3_000  # nano-dollars a token
CREDIT = 10**15


def check(postgres: Postgres, url: str, billed: Mapping[str, Mapping[str, int]]) -> dict[str, int]:
    """Check the books against what the provider has billed; returns how many went which way."""
    ledger = _rows(postgres, url, "SELECT request_id, cost_nanos, outcome FROM ledger")
    open_ = _rows(postgres, url, "SELECT request_id, state FROM reservations")
    settled = {request: (int(cost), outcome) for request, cost, outcome in ledger}
    held = dict(open_)
    assert len(settled) == len(ledger), "a call was settled twice"
    assert len(held) == len(open_), "a call holds money twice"
    assert set(held.values()) <= {"unsettled"}, "a reservation has not lapsed"
    for request, usage in billed.items():
        assert (request in settled) != (request in held), f"{request} is lost, or there twice"
        if request in settled and settled[request][1] == "OK":
            right = usage["prompt_tokens"] * PROMPT + usage["completion_tokens"] * COMPLETION
            assert settled[request][0] == right, request
    _check_balance(postgres, url, sum(cost for cost, _ in settled.values()))
    return {
        "billed": len(billed),
        "settled": sum(request in settled for request in billed),
        "unsettled": sum(request in held for request in billed),
        "held for nothing": len(held.keys() - billed.keys()),
    }


def _check_balance(postgres: Postgres, url: str, spent: int) -> None:
    query = "SELECT balance_nanos, reserved_nanos FROM accounts WHERE id = 'acme'"
    ((balance, reserved),) = _rows(postgres, url, query)
    assert int(balance) == CREDIT - spent
    assert int(reserved) == 0


def _rows(postgres: Postgres, url: str, query: str) -> list[Any]:
    return [line.split("|") for line in postgres.sql(query, url).splitlines()]
