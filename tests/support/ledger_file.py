"""What a running service has written into its SQLite store, read from outside."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from pathlib import Path
from typing import Any, NamedTuple

ACCOUNT = "acme"


class Entry(NamedTuple):
    """A row of the ledger."""

    outcome: str
    prompt_tokens: int
    completion_tokens: int
    cost: int


class LedgerFile:
    """`settings` are the configuration's part for a store at `path`, and who pays there."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self.settings: dict[str, Any] = {
            "store": {"url": f"sqlite:///{path}", "spool": str(path.parent / "spool")},
            "accounts": {"max_active": 10_000},
        }

    def credit(self, nanos: int) -> None:
        """Put money on the account; its row must be there."""
        with closing(sqlite3.connect(self._path, timeout=10)) as store, store:
            change = "UPDATE accounts SET balance_nanos = balance_nanos + ? WHERE id = ?"
            assert store.execute(change, (nanos, ACCOUNT)).rowcount == 1

    def entries(self, request_id: str) -> list[Entry]:
        """What was settled of the calls with that id."""
        columns = "outcome, prompt_tokens, completion_tokens, cost_nanos"
        found = self._rows(f"SELECT {columns} FROM ledger WHERE request_id = ?", request_id)
        return [Entry(*row) for row in found]

    def all_entries(self) -> dict[str, list[Entry]]:
        """What was settled, by the calls' ids."""
        columns = "request_id, outcome, prompt_tokens, completion_tokens, cost_nanos"
        found: dict[str, list[Entry]] = {}
        for request_id, *row in self._rows(f"SELECT {columns} FROM ledger"):
            found.setdefault(request_id, []).append(Entry(*row))
        return found

    def amounts_held(self) -> dict[str, int]:
        """What calls hold, in nano-dollars, by their ids."""
        return dict(self._rows("SELECT request_id, amount_nanos FROM reservations"))

    def held(self, request_id: str | None = None) -> int:
        """How many calls hold money: those with that id, or all."""
        if request_id is None:
            return len(self._rows("SELECT 1 FROM reservations"))
        return len(self._rows("SELECT 1 FROM reservations WHERE request_id = ?", request_id))

    def account(self) -> tuple[int, int]:
        """Balance and reserved money, in nano-dollars."""
        query = "SELECT balance_nanos, reserved_nanos FROM accounts WHERE id = ?"
        ((balance, reserved),) = self._rows(query, ACCOUNT)
        return balance, reserved

    def spent(self) -> int:
        """The sum of the ledger, in nano-dollars."""
        ((total,),) = self._rows("SELECT coalesce(sum(cost_nanos), 0) FROM ledger")
        return int(total)

    def _rows(self, query: str, *values: str) -> list[tuple[Any, ...]]:
        with closing(sqlite3.connect(self._path, timeout=10)) as store:
            return store.execute(query, values).fetchall()
