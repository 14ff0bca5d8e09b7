"""Each invariant finds what breaks it: a made-up run of one call, and one thing wrong with it."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from tests.chaos import invariants
from tests.chaos.invariants import INVARIANTS
from tests.chaos.provider import words
from tests.chaos.record import Asked, Books, Run, Seen
from tests.support.answers import Route
from tests.support.ledger_file import Entry

CALL = "call-000001"
TEXT = "".join(words(CALL, "p1-a"))


def right() -> Run:
    """A run in which nothing is wrong: one call, answered by the second provider it asked."""
    route = Route("chaos/a", "chaos/a", "p1", 2)
    seen = Seen(CALL, "chaos/a", "rest", True, 10.0, 11.0, ["answer"], TEXT, route)
    entry = Entry("OK", 12, 3, 21)
    return Run(
        books=Books(100, 79, 0, {CALL: [entry]}, {}),
        calls=[seen],
        asked=[Asked(CALL, "p2-a", 10.0, 10.2), Asked(CALL, "p1-a", 10.2, 11.0)],
        lines=[{"request_id": CALL, "outcome": "OK"}],
        beats=[(9.0, 0.0), (12.0, 0.0)],
        memory={"service": (100 * 2**20, 110 * 2**20)},
        descriptors={"service": 40},
    )


def _hold(books: Books) -> None:
    books.entries.clear()
    books.held[CALL] = 5
    books.balance, books.reserved = books.credit, 5


Spoil = Callable[[Run], object]

BROKEN: list[tuple[str, str, Spoil]] = [
    ("one_ending", "never ends", lambda run: run.calls[0].outcomes.clear()),
    ("one_ending", "ends twice", lambda run: run.calls[0].outcomes.append("upstream_error")),
    ("one_ending", "is lost", lambda run: run.calls[0].outcomes.__setitem__(0, "lost")),
    ("one_ending", "gets an odd error", lambda run: run.calls[0].outcomes.__setitem__(0, "odd")),
    (
        "one_ending",
        "gets a fault of ours",
        lambda run: run.calls[0].outcomes.__setitem__(0, "internal_error"),
    ),
    ("one_ending", "has an odd form", lambda run: setattr(run.calls[0], "trouble", "odd")),
    ("money_balances", "costs nothing", lambda run: run.books.entries.clear()),
    (
        "money_balances",
        "is settled twice",
        lambda run: run.books.entries[CALL].append(Entry("OK", 12, 3, 0)),
    ),
    (
        "money_balances",
        "is settled as something else",
        lambda run: run.books.entries.update({CALL: [Entry("CANCELLED", 12, 0, 21)]}),
    ),
    ("money_balances", "still holds money", lambda run: _hold(run.books)),
    ("money_balances", "has cost the account more", lambda run: setattr(run.books, "balance", 78)),
    ("money_balances", "left money reserved", lambda run: setattr(run.books, "reserved", 1)),
    ("no_mixing", "is not whole", lambda run: setattr(run.calls[0], "text", TEXT[:-3])),
    ("no_mixing", "has another's words", lambda run: setattr(run.calls[0], "text", TEXT + "x")),
    (
        "no_mixing",
        "is another call's",
        lambda run: setattr(run.calls[0], "text", "".join(words("call-000002", "p1-a"))),
    ),
    (
        "no_mixing",
        "is two models'",
        lambda run: setattr(run.calls[0], "text", words(CALL, "p1-a")[0] + TEXT),
    ),
    (
        "no_mixing",
        "names another provider",
        lambda run: setattr(run.calls[0].route, "provider", "p2"),
    ),
    (
        "nothing_outlives_its_caller",
        "is open long after",
        lambda run: setattr(run.asked[0], "ended", 12.6),
    ),
    (
        "nothing_outlives_its_caller",
        "is never closed",
        lambda run: setattr(run.asked[0], "ended", None),
    ),
    (
        "nothing_outlives_its_caller",
        "are closed late, and more than one",
        lambda run: [setattr(asked, "ended", 11.3) for asked in run.asked],
    ),
    (
        "books_balance",
        "is nobody's",
        lambda run: run.asked.append(Asked("call-000009", "p1-a", 10, 11)),
    ),
    (
        "books_balance",
        "was asked more often than told",
        lambda run: run.asked.append(Asked(CALL, "p1-a", 10, 11)),
    ),
    (
        "books_balance",
        "was asked without end",
        lambda run: run.asked.extend([Asked(CALL, "p1-a", 10, 11)] * 7),
    ),
    ("books_balance", "has no line", lambda run: run.lines.clear()),
    ("books_balance", "has two lines", lambda run: run.lines.append(run.lines[0])),
    (
        "books_balance",
        "has a line that says otherwise",
        lambda run: run.lines[0].update(outcome="UPSTREAM_ERROR"),
    ),
    (
        "books_balance",
        "has an error that the line does not",
        lambda run: run.calls[0].outcomes.__setitem__(0, "upstream_error"),
    ),
    (
        "nothing_is_left_over",
        "grew",
        lambda run: run.memory.update(service=(100 * 2**20, 180 * 2**20)),
    ),
    ("nothing_is_left_over", "leaks", lambda run: run.descriptors.update(service=400)),
    ("nothing_is_left_over", "had a fault", lambda run: run.faults.append("service: Traceback")),
]


def found(run: Run) -> set[str]:
    return {invariant.__name__ for invariant in INVARIANTS if list(invariant(run))}


def test_a_right_run_breaks_nothing() -> None:
    assert found(right()) == set()


@pytest.mark.parametrize(
    ("name", "spoil"),
    [(name, spoil) for name, _, spoil in BROKEN],
    ids=[f"{name}: {what}" for name, what, _ in BROKEN],
)
def test_what_is_wrong_is_found(name: str, spoil: Spoil) -> None:
    run = right()
    spoil(run)
    assert name in found(run)


def test_what_happens_while_a_process_is_down_is_nobodys_fault() -> None:
    run = right()
    run.outages.append((10.5, 12.0))
    run.calls[0].outcomes[0] = "lost"
    run.calls[0].text = TEXT[:5]
    run.asked[0].ended = 12.5
    run.lines.clear()
    assert found(run) == set()


def test_a_late_machine_is_not_held_against_the_product() -> None:
    run = right()
    for asked in run.asked:
        asked.ended = 11.5
    assert found(run) == {"nothing_outlives_its_caller"}
    run.beats[:] = [(10.9, 0.0), (11.4, 0.4), (12.0, 0.0)]
    assert found(run) == set()


def test_every_invariant_is_tried() -> None:
    assert {name for name, _, _ in BROKEN} == {it.__name__ for it in invariants.INVARIANTS}
