"""Plain transactions: what the drivers say is told in our words, and the same by both."""

from __future__ import annotations

import asyncio
import sqlite3
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from service.accounts.transactions import transact
from service.store.database import Database, StoreDown
from service.store.direct import Conflict, Contradiction
from service.store.direct_sqlite import SqliteDirect
from service.store.steps import Step, Steps, insertion, insertion_start, to_sqlite
from service.store.tables import LEDGER
from telemetry.metrics import Metrics
from tests.support.books import AT, fresh
from tests.support.postgres import Postgres

_NEW = "INSERT INTO accounts (id, created, prepaid) VALUES ($1, $2, $3)"


@pytest.fixture(params=["sqlite", "postgresql"])
def url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """A fresh database, without tables."""
    if request.param == "sqlite":
        return f"sqlite:///{tmp_path / 'llmbase.db'}"
    postgres: Postgres = request.getfixturevalue("postgres")
    return postgres.new_database()


def _only(step: Step) -> Callable[[], Steps[Any]]:
    def steps() -> Steps[Any]:
        return (yield step)

    return steps


async def _ids(database: Database) -> list[str]:
    rows = await database.run(_only(Step("SELECT id FROM accounts ORDER BY id")))
    return [account_id for (account_id,) in rows]


async def test_all_of_it_is_done_or_nothing(url: str) -> None:
    def steps(fault: Exception | None) -> Steps[int]:
        yield Step(_NEW, [("a", AT, True), ("b", AT, False)], many=True)
        [(count,)] = yield Step(
            "SELECT COUNT(*) FROM accounts WHERE id = ANY($1)", [["a", "b", "c"]]
        )
        if fault is not None:
            raise fault
        return count  # type: ignore[no-any-return]

    async with fresh(url) as database:
        with pytest.raises(LookupError):
            await database.run(lambda: steps(LookupError()))
        assert await _ids(database) == []
        assert await database.run(lambda: steps(None)) == 2
        assert await _ids(database) == ["a", "b"]


@pytest.mark.parametrize("count", [1, 2, 63, 64, 65, 200])
async def test_many_rows_are_inserted_as_they_are(url: str, count: int) -> None:
    rows = [(f"{i:03d}", AT + i, i % 3 == 0) for i in range(count)]
    kept = Step("SELECT id, created, prepaid FROM accounts ORDER BY id")
    async with fresh(url) as database:
        await database.run(_only(Step(_NEW, rows, many=True)))
        assert [tuple(row) for row in await database.run(_only(kept))] == rows
        with pytest.raises(Contradiction):  # one that is there already, and all are undone
            await database.run(_only(Step(_NEW, [("z", AT, True), *rows], many=True)))
        assert len(await _ids(database)) == count


def test_sqlite_is_given_many_rows_at_a_time() -> None:
    """Each visit gives Python's lock away, and who serves is interrupted to get it back."""
    said: list[str] = []
    connection = sqlite3.connect(":memory:", isolation_level=None)
    connection.execute("CREATE TABLE accounts (id, created, prepaid)")
    direct = SqliteDirect(lambda: connection, asyncio.Lock())
    connection.set_trace_callback(said.append)
    direct._run(_only(Step(_NEW, [(str(i), i, True) for i in range(500)], many=True)))
    assert len(said) <= 16  # begin, commit, and 7 times 64, 32, 16 and 4 rows
    assert connection.execute("SELECT COUNT(DISTINCT id) FROM accounts").fetchone() == (500,)


def test_only_a_plain_insertion_is_one_of_many_rows() -> None:
    assert insertion_start(_NEW) == "INSERT INTO accounts (id, created, prepaid) VALUES "
    assert insertion_start(insertion(LEDGER)) is not None
    for sql in (f"{_NEW} ON CONFLICT (id) DO NOTHING", "UPDATE accounts SET prepaid = $1"):
        assert insertion_start(sql) is None


@pytest.mark.parametrize(
    "step",
    [
        Step(_NEW, ["a", AT, True]),
        Step(_NEW, ["b", 2**63, True]),
        Step("INSERT INTO credits (id, account_id, at, amount_nanos) VALUES ('1', 'x', 1, 1)"),
    ],
    ids=["twice", "too large", "for nobody"],
)
async def test_what_the_tables_forbid_is_a_contradiction_and_the_next_goes_on(
    url: str, step: Step
) -> None:
    async with fresh(url, a=None) as database:
        for _ in range(3):
            with pytest.raises(Contradiction):
                await database.run(_only(step))
        assert await _ids(database) == ["a"]


@pytest.mark.parametrize(
    ("state", "meaning"),
    [
        ("40P01", Conflict),
        ("40001", Conflict),
        ("22003", Contradiction),
        ("23505", Contradiction),
        ("53300", StoreDown),
    ],
)
async def test_postgresqls_states_have_their_meanings(
    postgres: Postgres, state: str, meaning: type[Exception]
) -> None:
    raising = f"DO $$ BEGIN RAISE EXCEPTION 'x' USING ERRCODE = '{state}'; END $$"
    async with fresh(postgres.new_database(), a=None) as database:
        with pytest.raises(Exception, match=r".") as raised:
            await database.run(_only(Step(raising)))
        assert type(raised.value) is meaning
        assert await _ids(database) == ["a"]


async def test_a_connection_that_the_server_has_closed_is_nobodys_trouble(
    postgres: Postgres,
) -> None:
    url = postgres.new_database()
    async with fresh(url, a=None) as database:
        await asyncio.gather(*(_ids(database) for _ in range(5)))
        postgres.sql(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE pid <> pg_backend_pid() "
            f"AND datname = '{url.rpartition('/')[2]}'"
        )
        assert await asyncio.gather(*(_ids(database) for _ in range(5))) == [["a"]] * 5


@pytest.mark.parametrize(("conflicts", "done"), [(0, True), (7, True), (8, False)])
async def test_a_conflict_is_tried_again_but_not_forever(
    url: str, monkeypatch: pytest.MonkeyPatch, conflicts: int, done: bool
) -> None:
    async with fresh(url, a=None) as database:
        run, left = database.run, [conflicts]

        async def contended(work: Callable[[], Steps[Any]]) -> Any:
            if left[0]:
                left[0] -= 1
                raise Conflict("DeadlockDetectedError")
            return await run(work)

        monkeypatch.setattr(database, "run", contended)
        doing = transact(database, Metrics({}), "settle", _only(Step("SELECT id FROM accounts")))
        if done:
            assert [tuple(row) for row in await doing] == [("a",)]
        else:
            with pytest.raises(Conflict):
                await doing


async def test_a_place_where_no_store_is_is_a_store_that_is_down() -> None:
    for url in ("sqlite:////nowhere/at/all.db", "postgresql://a:b@127.0.0.1:9/x"):
        database = Database(url, 5.0)
        with pytest.raises(StoreDown):
            await _ids(database)
        await database.close()


def test_a_statement_is_said_in_sqlites_words() -> None:
    assert to_sqlite("SELECT a FROM t WHERE b = ANY($1) AND c = $2 FOR UPDATE SKIP LOCKED") == (
        "SELECT a FROM t WHERE b IN (SELECT value FROM json_each(?1)) AND c = ?2"
    )
