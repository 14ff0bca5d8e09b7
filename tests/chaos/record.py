"""What is known of a run: what callers saw, what the provider saw, what the service logged."""

from __future__ import annotations

from bisect import bisect_left
from dataclasses import dataclass, field
from typing import Any

from tests.support.answers import Route
from tests.support.ledger_file import Entry


@dataclass
class Seen:
    """One call, as its caller saw it. Times are of the monotonic clock."""

    call: str
    model: str
    door: str  # grpc or rest
    streamed: bool
    began: float
    ended: float = 0.0
    outcomes: list[str] = field(default_factory=list)  # answer, left, lost, or an error's code
    text: str = ""
    route: Route | None = None
    trouble: str = ""  # what was wrong with the form of the answer


@dataclass
class Asked:
    """One request, as the provider saw it. `ended` is None while it is open."""

    call: str
    model: str
    began: float
    ended: float | None


@dataclass
class Books:
    """What is in the store at the end. Amounts are in nano-dollars; `held` has its calls' own."""

    credit: int = 0
    balance: int = 0
    reserved: int = 0
    entries: dict[str, list[Entry]] = field(default_factory=dict)
    held: dict[str, int] = field(default_factory=dict)


@dataclass
class Run:
    """Everything about a run."""

    books: Books = field(default_factory=Books)

    calls: list[Seen] = field(default_factory=list)
    asked: list[Asked] = field(default_factory=list)
    lines: list[dict[str, Any]] = field(default_factory=list)
    faults: list[str] = field(default_factory=list)  # lines of processes that are no call's
    outages: list[tuple[float, float]] = field(default_factory=list)
    beats: list[tuple[float, float]] = field(default_factory=list)  # when, how late
    memory: dict[str, tuple[int, int]] = field(default_factory=dict)  # bytes before, after
    descriptors: dict[str, int] = field(default_factory=dict)

    def was_out(self, began: float, ended: float) -> bool:
        """Whether a process was down at some time between."""
        return any(began < until and since < ended for since, until in self.outages)

    def lateness(self, began: float, ended: float) -> float:
        """How late this machine was with what was due between, at most, in seconds."""
        first = bisect_left(self.beats, (began, 0.0))
        late = 0.0
        for at, seconds in self.beats[max(0, first - 1) :]:
            late = max(late, seconds)
            if at > ended:
                break
        return late
