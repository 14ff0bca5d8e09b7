"""What holds whatever goes wrong. Each returns what breaks it, a line for each."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator

from tests.chaos.provider import words
from tests.chaos.record import Run, Seen
from tests.support.failures import HTTP_STATUS

TARGETS = {
    "chaos/a": ("p1-a", "p2-a"),
    "chaos/b": ("p2-b", "p3-b"),
    "chaos/hedged": ("p1-h", "p3-h"),
}
MODELS = tuple(model for targets in TARGETS.values() for model in targets)
MOST_ASKED = 6  # of one call: its own targets and its fallback's, some of them twice
GRACE = 0.2  # seconds in which the provider's side of a call that is over is closed
MOST_LATE = 0.005  # part of all requests that may be closed later, and never later than
LATEST = 1.5  # seconds: this machine runs everything, on few cores
WRITTEN = 1.0  # seconds after its end in which a call is in the ledger, or in the spool
MOST_GROWN = 40 * 2**20  # bytes
MOST_OPEN = 150  # descriptors: pools of connections, and what a process has anyway


def one_ending(run: Run) -> Iterator[str]:
    """Each call has one answer or one typed error, unless it left or its process was killed."""
    for seen in run.calls:
        if len(seen.outcomes) != 1:
            yield f"{seen.call}: {len(seen.outcomes)} endings"
        elif seen.trouble:
            yield f"{seen.call}: {seen.trouble}"
        elif seen.outcomes[0] == "lost" and not run.was_out(seen.began, seen.ended):
            yield f"{seen.call}: lost, while nothing was down"
        elif seen.outcomes[0] not in ("answer", "left", "lost") and (
            seen.outcomes[0] not in HTTP_STATUS
        ):
            yield f"{seen.call}: {seen.outcomes[0]} is no error of ours"
        elif seen.outcomes[0] == "internal_error" and not run.was_out(seen.began, seen.ended):
            yield f"{seen.call}: a fault of ours"


def no_mixing(run: Run) -> Iterator[str]:
    """What a caller got is what one model said to that call: all of it, or its beginning."""
    for seen in run.calls:
        model = _origin(seen)
        if seen.text and model is None:
            yield f"{seen.call}: {seen.text[:80]!r} is nobody's answer to it"
        elif seen.outcomes == ["answer"]:
            if model is None or seen.text != "".join(words(seen.call, model)):
                yield f"{seen.call}: an answer that is not whole: {seen.text[-40:]!r}"
            elif seen.route is None or seen.route.provider != model.partition("-")[0]:
                yield f"{seen.call}: {model} answered, not {seen.route}"


def nothing_outlives_its_caller(run: Run) -> Iterator[str]:
    """A provider's request is over soon after its caller's call is."""
    ends = {seen.call: seen.ended for seen in run.calls}
    late: list[str] = []
    for asked in run.asked:
        ended = ends.get(asked.call)
        if ended is None:
            continue
        if asked.ended is None:
            yield f"{asked.call}: {asked.model} is still open"
            continue
        over = asked.ended - max(ended, asked.began)
        # When a process dies, others have to find out.
        if run.was_out(ended - GRACE, asked.ended):
            continue
        if over > LATEST:
            yield f"{asked.call}: {asked.model} was open for {over:.2f} s more"
        elif over > GRACE + run.lateness(ended, asked.ended):
            late.append(f"{asked.call}: {asked.model} was open for {over:.2f} s more")
    if len(late) > max(1, MOST_LATE * len(run.asked)):
        yield from late


def books_balance(run: Run) -> Iterator[str]:
    """What was asked of providers is owned by calls, and the log says of each call what it saw."""
    known = {seen.call: seen for seen in run.calls}
    asked = Counter(it.call for it in run.asked)
    for call, number in asked.items():
        if call not in known:
            yield f"{call}: asked of a provider, but nobody's"
        elif number > MOST_ASKED:
            yield f"{call}: {number} requests to providers"
        elif known[call].outcomes == ["answer"] and (route := known[call].route) is not None:
            hedges = 1 if known[call].model == "chaos/hedged" else 0
            if number > route.attempts + hedges:
                yield f"{call}: {number} requests to providers, {route.attempts} attempts told"
    lines: dict[str, list[str]] = {}
    for line in run.lines:
        lines.setdefault(str(line["request_id"]), []).append(str(line["outcome"]).lower())
    for seen in run.calls:
        said = lines.get(seen.call, [])
        if len(said) > 1:
            yield f"{seen.call}: {len(said)} lines"
        # A line is written right after the caller has been told, if nothing kills the process then.
        elif len(seen.outcomes) == 1 and not run.was_out(seen.began, seen.ended + GRACE):
            yield from _disagreement(seen, said)


def money_balances(run: Run) -> Iterator[str]:
    """Each call is settled once, as its caller saw it; only those that were killed hold money."""
    books = run.books
    spent = sum(entry.cost for entries in books.entries.values() for entry in entries)
    if books.balance != books.credit - spent:
        yield f"{books.balance} is left of {books.credit}, but {spent} was spent"
    if books.reserved != sum(books.held.values()):
        yield f"{books.reserved} is reserved, but calls hold {sum(books.held.values())}"
    for seen in run.calls:
        outcomes = [entry.outcome for entry in books.entries.get(seen.call, [])]
        if len(outcomes) + (seen.call in books.held) > 1:
            yield f"{seen.call}: settled as {outcomes}, held: {seen.call in books.held}"
        elif len(seen.outcomes) == 1 and not run.was_out(seen.began, seen.ended + WRITTEN):
            yield from _wrong_settlement(seen, outcomes, held=seen.call in books.held)


def nothing_is_left_over(run: Run) -> Iterator[str]:
    """Memory and descriptors return, and no process had a fault of its own."""
    for name, (before, after) in run.memory.items():
        if after - before > MOST_GROWN:
            yield f"{name}: {(after - before) / 2**20:.0f} MB more than before"
    for name, number in run.descriptors.items():
        if number > MOST_OPEN:
            yield f"{name}: {number} descriptors"
    yield from run.faults


INVARIANTS: tuple[Callable[[Run], Iterator[str]], ...] = (
    one_ending,
    no_mixing,
    nothing_outlives_its_caller,
    books_balance,
    money_balances,
    nothing_is_left_over,
)


def _origin(seen: Seen) -> str | None:
    """Which model's words a text is the beginning of."""
    for model in MODELS:
        if seen.text and "".join(words(seen.call, model)).startswith(seen.text):
            return model
    return None


def _disagreement(seen: Seen, said: list[str]) -> Iterator[str]:
    outcome = seen.outcomes[0]
    if outcome == "answer" and said != ["ok"]:
        yield f"{seen.call}: answered, but the log says {said}"
    # A refusal or a deadline of the door's own reaches no service, or only as a cancellation.
    elif outcome not in ("answer", "left", "lost", "service_unavailable", "deadline_exceeded") and (
        said != [outcome]
    ):
        yield f"{seen.call}: {outcome}, but the log says {said}"


def _wrong_settlement(seen: Seen, outcomes: list[str], *, held: bool) -> Iterator[str]:
    outcome = seen.outcomes[0]
    right = outcomes  # of others it depends on how far they had come
    if outcome == "answer":
        right = ["OK"]
    elif outcome.startswith("upstream_"):
        right = [outcome.upper()]
    elif outcome in ("all_providers_failed", "service_unavailable"):
        right = []
    if held:
        yield f"{seen.call}: over, and holds money"
    elif outcomes != right:
        yield f"{seen.call}: {outcome}, but settled as {outcomes}"
