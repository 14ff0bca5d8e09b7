"""A provider dies after any event of a stream: what came is given, what did not is not made up."""

from __future__ import annotations

import pytest

from tests.conftest import Door
from tests.support.answers import Answer
from tests.support.asking import hello
from tests.support.openai_wire import Call, says, stream
from tests.support.rest_door import RestDoor
from tests.support.scripted_upstream import ScriptedUpstream
from tests.support.scripts import Piece, Step, cut, hold, reset
from tests.support.signals import Signal

EVENTS = says(
    "Hel", "lo", reasoning=["Hm", "m"], calls=[Call("c1", "weather", ['{"a"', ":1}"])]
).events()
NAMES = [
    "role",
    *("first reasoning", "last reasoning", "first content", "last content"),
    *("name of the call", "first arguments", "last arguments"),
    *("finish reason", "usage", "[DONE]"),
]
FIRST, FINISH, USAGE = 1, 8, 9  # places of the first content, the finish reason and the usage
# What the caller has after each event, in order: reasoning, text, calls.
HAD = [
    (None, None, []),
    ("Hm", None, []),
    ("Hmm", None, []),
    ("Hmm", "Hel", []),
    ("Hmm", "Hello", []),
    ("Hmm", "Hello", [("weather", "")]),
    ("Hmm", "Hello", [("weather", '{"a"')]),
    ("Hmm", "Hello", [("weather", '{"a":1}')]),
]
KILLS: dict[str, Step] = {"closed": cut, "reset": reset}


class Seen(Signal):
    """Told of each event that reaches the caller, and tells the provider of it."""

    def __init__(self, role_apart: bool) -> None:
        super().__init__()
        self._marks = [Signal() for _ in HAD]
        self._count = -1 if role_apart else 0  # the doors' own role, which REST has as an event

    def set(self) -> None:
        super().set()
        self._count += 1
        if 0 < self._count < len(self._marks):
            self._marks[self._count].set()

    def of(self, place: int) -> list[Piece]:
        """Wait for the event to have been seen, if it is one that can be."""
        return [hold(self._marks[place])] if FIRST <= place < FINISH else []


def _killed(after: int, kill: Step, seen: Seen) -> list[Piece]:
    """The first events, each sent when the one before has been seen, and then the end."""
    pieces: list[Piece] = []
    for place, event in enumerate(EVENTS[:after]):
        pieces += [event, *seen.of(place)]
    return [*pieces, kill]


@pytest.mark.parametrize("kill", KILLS)
@pytest.mark.parametrize("after", range(FIRST + 1), ids=["nothing", NAMES[0]])
async def test_before_the_first_content_another_target_answers(
    after: int, kill: str, door: Door, upstream: ScriptedUpstream
) -> None:
    seen = Seen(isinstance(door, RestDoor))
    upstream.on("first", stream(*_killed(after, KILLS[kill], seen)))
    upstream.on("second", says("other"))

    answer = await door.ask(hello("test/two", stream=True), first=seen)

    assert answer.complete
    assert (answer.text, answer.choices[0].reasoning, answer.finish) == ("other", None, "stop")
    assert [request.model for request in upstream.requests] == ["first", "second"]


@pytest.mark.parametrize("kill", KILLS)
@pytest.mark.parametrize("after", range(FIRST + 1), ids=["nothing", NAMES[0]])
async def test_before_the_first_content_a_lone_target_has_failed(
    after: int, kill: str, door: Door, upstream: ScriptedUpstream
) -> None:
    seen = Seen(isinstance(door, RestDoor))
    upstream.on("one", stream(*_killed(after, KILLS[kill], seen)))

    answer = await door.ask(hello(stream=True), first=seen)

    assert answer.code == "all_providers_failed"
    assert (answer.choices, answer.usage, answer.complete) == ([], None, False)


@pytest.mark.parametrize("kill", KILLS)
@pytest.mark.parametrize(
    "after", range(FIRST + 1, FINISH + 1), ids=[f"the {it}" for it in NAMES[FIRST:FINISH]]
)
async def test_from_the_first_content_to_the_finish_reason_it_is_a_cut(
    after: int, kill: str, door: Door, upstream: ScriptedUpstream
) -> None:
    seen = Seen(isinstance(door, RestDoor))
    upstream.on("first", stream(*_killed(after, KILLS[kill], seen)))

    # The reader holds REST to it that nothing, above all no [DONE], follows an error event.
    answer = await door.ask(hello("test/two", stream=True), first=seen)

    assert answer.failure is not None
    assert (answer.failure.status, answer.failure.code) == (502, "upstream_truncated")
    assert (answer.complete, answer.finish, answer.usage) == (False, None, None)
    assert _had(answer) == HAD[after - 1]
    assert [request.model for request in upstream.requests] == ["first"]


@pytest.mark.parametrize("kill", KILLS)
@pytest.mark.parametrize(
    "after", range(FINISH + 1, len(EVENTS) + 1), ids=[f"the {it}" for it in NAMES[FINISH:]]
)
async def test_from_the_finish_reason_on_it_is_complete(
    after: int, kill: str, door: Door, upstream: ScriptedUpstream
) -> None:
    seen = Seen(isinstance(door, RestDoor))
    upstream.on("first", stream(*_killed(after, KILLS[kill], seen)))

    answer = await door.ask(hello("test/two", stream=True), first=seen)

    assert (answer.complete, answer.finish) == (True, "tool_calls")
    assert _had(answer) == HAD[-1]
    assert answer.usage is not None
    assert answer.usage.estimated == (after <= USAGE)


def _had(answer: Answer) -> tuple[str | None, str | None, list[tuple[str, str]]]:
    (choice,) = answer.choices
    return choice.reasoning, choice.text, answer.calls
