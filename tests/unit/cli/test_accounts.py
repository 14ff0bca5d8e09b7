"""`llmbase accounts`, `keys` and `usage`, against a service with a store."""

from __future__ import annotations

import csv
import io
import json
import re
import sqlite3

import pytest
from click.testing import CliRunner

from cli.__main__ import main
from tests.support.account_door import ADMIN, PLAIN
from tests.support.account_server import account_server

SECRET = re.compile(r"llmbase_[A-Za-z0-9_-]{43}")


@pytest.fixture(scope="module")
def store(tmp_path_factory):
    """The path of a store, and the address of who serves it."""
    path = tmp_path_factory.mktemp("accounts") / "store.db"
    with account_server(f"sqlite:///{path}") as address:
        yield path, address


@pytest.fixture
def llmbase(store):
    """Run a command as the administrator."""

    def run(*arguments, key=ADMIN, fails=False):
        environment = {"LLMBASE_API_KEY": key, "LLMBASE_SERVICE": store[1], "COLUMNS": "100"}
        result = CliRunner(env=environment).invoke(main, [str(word) for word in arguments])
        assert (result.exit_code != 0) is fails, result.output
        assert "Traceback" not in result.output
        return result

    return run


def _rows(result):
    return [re.split(r" {2,}", line) for line in result.stdout.splitlines()]


def test_an_account_is_made_given_money_and_listed(llmbase):
    assert llmbase("accounts", "create", "zoo", "--credit", "2.5").output == (
        "zoo: made, 2.50 USD\n"
    )
    assert llmbase("accounts", "credit", "zoo", "0.000000001").output == (
        "zoo: credited, 2.500000001 USD\n"
    )
    assert llmbase("accounts", "credit", "zoo", "-1").output == "zoo: credited, 1.500000001 USD\n"
    free = llmbase("accounts", "create", "free", "--not-prepaid", "--max-active", "3")
    assert free.output == "free: made, not prepaid\n"
    rows = {row[0]: row for row in _rows(llmbase("accounts", "list"))}
    assert rows["ACCOUNT"][-2:] == ["BALANCE USD", "RESERVED USD"]
    assert (rows["zoo"][1:3], rows["zoo"][4:]) == (["yes", "-"], ["1.500000001", "0.00"])
    assert rows["free"][1:3] == ["no", "3"]
    assert "operator" in rows
    listed = json.loads(llmbase("accounts", "list", "--json").stdout)
    assert next(a for a in listed if a["id"] == "zoo")["balance_nanos"] == "1500000001"


def test_a_credit_is_given_once_under_one_id(llmbase):
    llmbase("accounts", "create", "once")
    for _ in range(2):
        result = llmbase("accounts", "credit", "once", "5", "--id", "invoice-7", "--note", "paid")
        assert result.output == "once: credited, 5.00 USD\n"


def test_a_key_is_alone_on_standard_output_and_then_never_seen_again(llmbase):
    llmbase("accounts", "create", "keys")
    made = llmbase(
        *("keys", "create", "keys", "--name", "ci", "--model", "a/*", "--model", "b"),
        *("--spend-cap", "25/month", "--requests-per-minute", 60, "--tokens-per-minute", 9),
        *("--max-active", 2, "--expires", "2100-01-01", "--admin"),
    )
    secret = made.stdout.strip()
    assert SECRET.fullmatch(secret) and made.stdout.count("\n") == 1
    assert secret not in made.stderr
    key_id = made.stderr.split()[0]
    listed = llmbase("keys", "list", "--account", "keys")
    assert _rows(listed)[1] == [
        *(key_id, f"{secret[:12]}...", "keys", "ci (admin)", "a/* b", "25.00/month"),
        *("60 req/min, 9 tok/min, 2 active", "expires 2100-01-01 00:00"),
    ]
    as_json = llmbase("keys", "list", "--account", "keys", "--json")
    assert json.loads(as_json.stdout)[0]["spend_cap"]["amount_nanos"] == "25000000000"
    assert secret not in listed.output + as_json.output


def test_a_key_is_rotated_and_revoked(llmbase):
    llmbase("accounts", "create", "turn")
    made = llmbase("keys", "create", "turn")
    old = made.stderr.split()[0]
    rotated = llmbase("keys", "rotate", old, "--overlap", "1h")
    assert SECRET.fullmatch(rotated.stdout.strip()) and rotated.stdout != made.stdout
    new = rotated.stderr.split()[0]
    states = {row[0]: row[-1] for row in _rows(llmbase("keys", "list", "--account", "turn"))}
    assert states[old].startswith("is revoked ") and states[new] == "active"
    said = llmbase("keys", "revoke", old).output
    assert said == f"{old} ({made.stdout[:12]}..., default of turn): revoked\n"
    states = {row[0]: row[-1] for row in _rows(llmbase("keys", "list", "--account", "turn"))}
    assert states[old].startswith("revoked ")


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (("accounts", "create", "a b"), "INVALID_ARGUMENT: id: must be letters, digits"),
        (("accounts", "create", "operator"), "ALREADY_EXISTS: There is an account operator"),
        (("accounts", "credit", "nobody", "1"), "NOT_FOUND: There is no account nobody."),
        (("accounts", "credit", "operator", "0"), "INVALID_ARGUMENT: amount_nanos: "),
        (("accounts", "credit", "operator", "1.x"), "must be US dollars with at most 9 decimals"),
        (("keys", "create", "nobody"), "NOT_FOUND: There is no account nobody."),
        (("keys", "create", "operator", "--spend-cap", "5"), "such as 25/month"),
        (("keys", "create", "operator", "--expires", "2001-01-01"), "must be a time to come"),
        (("keys", "revoke", "key_0"), "NOT_FOUND: There is no API key key_0."),
        (("keys", "rotate", "key_0", "--overlap", "x"), "must be a time such as"),
        (("keys", "list", "--account", "nobody"), "NOT_FOUND: There is no account nobody."),
        (("usage", "--from", "yesterday"), "from_day: must be a day, YYYY-MM-DD"),
        (("usage", "--account", "nobody"), "NOT_FOUND: There is no account nobody."),
        (("usage", "--csv", "--json"), "exclude each other"),
    ],
)
def test_what_is_wrong_is_one_line(llmbase, arguments, says):
    result = llmbase(*arguments, fails=True)
    assert result.stdout == ""
    assert says in result.stderr.splitlines()[-1]


def test_who_is_no_administrator_is_told_so_and_who_has_no_key_what_to_set(llmbase):
    said = llmbase("accounts", "list", key=PLAIN, fails=True).output
    assert said == (
        "Error: PERMISSION_DENIED: This is for administrators: the API key needs `admin`.\n"
    )
    assert "Set LLMBASE_API_KEY" in llmbase("keys", "list", key="", fails=True).output


def test_where_nothing_is_kept_it_is_said_so(llmbase):
    with account_server("null") as address:
        said = llmbase("accounts", "list", "--grpc", address, fails=True).output
    assert "Accounts are not kept here" in said


def test_who_does_not_know_whether_money_was_given_can_ask_again(llmbase):
    result = llmbase("accounts", "credit", "zoo", "5", "--grpc", "127.0.0.1:1", fails=True)
    assert re.search(r"Repeat it with --id credit_[0-9a-f]{24}: it is given once", result.stderr)


@pytest.fixture
def used(store, llmbase):
    """A ledger of two days, two models and two accounts."""
    if "used" not in llmbase("accounts", "list").output:
        llmbase("accounts", "create", "used")
        with sqlite3.connect(store[0]) as connection:
            for i, (account, day, model, cost) in enumerate(
                [
                    ("used", "2026-01-01", "a/one", 1),
                    ("used", "2026-01-02", "a/one", 3_000_000_000),
                    ("used", "2026-01-02", "b/two", 1_500_000_000),
                    ("operator", "2026-01-03", "a/one", 0),
                ]
            ):
                connection.execute(
                    "INSERT INTO ledger VALUES (?, 'r', ?, 'key_1', 1, ?, 'OK', ?, ?, 'p', "
                    "1000, 400, 0, 50, 10, 0, NULL, 0, ?, 0, NULL)",
                    (f"call{i}", account, day, model, model, cost),
                )
        connection.close()
    return ("usage", "--from", "2026-01-01", "--to", "2026-01-31")


def test_usage_is_a_table_and_bars(llmbase, used):
    lines = llmbase(*used, "--account", "used").stdout.splitlines()
    assert [re.split(r" {2,}", line.strip()) for line in lines[:4]] == [
        ["DAY", "CALLS", "PROMPT", "CACHED", "WRITTEN", "ANSWER", "REASONING", "USD"],
        ["2026-01-01", "1", "1,000", "400", "0", "50", "10", "0.000000001"],
        ["2026-01-02", "2", "2,000", "800", "0", "100", "20", "4.50"],
        ["total", "3", "3,000", "1,200", "0", "150", "30", "4.500000001"],
    ]
    first, second = lines[5:]
    assert first.startswith("2026-01-01 ") and first.endswith(" 0.000000001 USD")
    assert second.count("█") > 50 and first.count("█") == 0


def test_usage_that_cost_nothing_is_drawn_as_tokens(llmbase, used):
    assert "1,050 tokens" in llmbase(*used).stdout.splitlines()[-1]


def test_usage_is_grouped_as_asked_for_in_csv(llmbase, used):
    asked = (*used, "--account", "*", "--by", "account", "--by", "model", "--csv")
    rows = list(csv.DictReader(io.StringIO(llmbase(*asked).stdout)))
    assert [(r["account"], r["model"], r["calls"], r["cost_usd"]) for r in rows] == [
        ("operator", "a/one", "1", "0.00"),
        ("used", "a/one", "2", "3.000000001"),
        ("used", "b/two", "1", "1.50"),
    ]


def test_usage_is_exact_in_json(llmbase, used):
    asked = (*used, "--account", "used", "--by", "key", "--json")
    assert json.loads(llmbase(*asked).stdout) == [
        {
            "key": "key_1",
            "calls": 3,
            "prompt_tokens": 3000,
            "cached_tokens": 1200,
            "cache_write_tokens": 0,
            "completion_tokens": 150,
            "reasoning_tokens": 30,
            "cost_usd": "4.500000001",
            "cost_nanos": 4_500_000_001,
        }
    ]


def test_no_usage_is_said_so(llmbase, used):
    result = llmbase("usage", "--from", "2020-01-01", "--to", "2020-01-02")
    assert (result.stdout, result.stderr) == ("", "No calls were settled in this time.\n")
    assert llmbase("usage", "--to", "2020-01-02", "--from", "2020-01-01", "--json").stdout == "[]\n"


def test_the_key_of_an_account_sees_its_own_usage(llmbase, used):
    secret = llmbase("keys", "create", "used").stdout.strip()
    assert "4.500000001" in llmbase(*used, key=secret).stdout
    said = llmbase(*used, "--account", "operator", key=secret, fails=True).output
    assert "Another account is for administrators" in said
