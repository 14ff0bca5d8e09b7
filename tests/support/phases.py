"""How far an answer can be when its caller leaves: one table, for each shape of answer.

Where a phase makes no sense for a shape, the table says why in its place.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from tests.support.openai_wire import Call, refuses, says, stream
from tests.support.scripts import Piece, Script, Step, cut, pause, stall

# What a provider does; the step is where the phase is reached.
Doing = Callable[[Step], Script]

JSON = {"Content-Type": "application/json"}
ANSWER = says("Hel", "lo", reasoning=["Hm", "m"], calls=[Call("c1", "weather", ['{"a"', ":1}"])])
BODY = ANSWER.body()
ROLE, HM, _, HEL, LO, CALL, ARGUMENTS, _, FINISH, USAGE, DONE = ANSWER.events()
TRICKLE: list[Piece] = [HEL, pause(0.001)] * 10_000
COMMENTS: list[Piece] = [b": wait\n\n", pause(0.005)] * 2_000
BLANKS: list[Piece] = [b"\n", pause(0.005)] * 2_000

UNSEEN = "of a whole answer the caller gets nothing before it is over"
UNARY = "there is no going on with a whole answer"


@dataclass(frozen=True)
class Phase:
    """What the providers do until the caller leaves, in each shape; or why there is no such phase.

    `earlier` targets have done with it by then; those named `held` have not.
    """

    name: str
    whole: Doing | str
    stream: Doing | str
    model: str = "test/three"
    held: tuple[str, ...] = ("first",)
    earlier: tuple[tuple[str, Script], ...] = ()
    begun: bool = False  # the caller of the stream has some of it already
    hedged: bool = False  # the usual speed of the target has to be known
    continued: bool = False  # the caller allows another target to go on
    repeats_after: float = 0.0  # seconds until a repeat, were there one

    def doing(self, *, streamed: bool) -> Doing | str:
        """What those that are held do, or the reason why there is nothing to do."""
        return self.stream if streamed else self.whole

    def asked(self) -> list[str]:
        """The providers' models, in the order in which they are asked."""
        return [*(model for model, _ in self.earlier), *self.held]


def _silent(reached: Step) -> Script:
    return Script(before=[reached, stall])


def _refusing(reached: Step) -> Script:
    return Script([b'{"error":', reached, stall], status=500, headers=JSON)


def _events(*pieces: Piece, then: Sequence[Piece] = (stall,)) -> Doing:
    return lambda reached: stream(*pieces, reached, *then)


def _body(*pieces: Piece, then: Sequence[Piece] = (stall,)) -> Doing:
    return lambda reached: Script([*pieces, reached, *then], headers=JSON)


def _before(word: bytes) -> Doing:
    return _body(BODY[: BODY.index(word)])


PHASES = [
    Phase("before the head", _silent, _silent),
    Phase("inside the body of an error", _refusing, _refusing),
    Phase("after the head", _body(), _events()),
    Phase("while there are signs of life only", _body(then=BLANKS), _events(then=COMMENTS)),
    Phase("after the role", _before(b'"content"'), _events(ROLE)),
    Phase("inside the reasoning", _before(b'm","tool_calls"'), _events(ROLE, HM), begun=True),
    Phase("after the first content", _before(b'lo"'), _events(ROLE, HEL), begun=True),
    Phase("while content flows", UNSEEN, _events(ROLE, then=TRICKLE), begun=True),
    Phase(
        "inside a tool call",
        _before(b":1}"),
        _events(ROLE, HEL, CALL, ARGUMENTS),
        begun=True,
    ),
    Phase(
        "between the finish reason and the usage",
        _before(b'"usage"'),
        _events(ROLE, HEL, FINISH),
        begun=True,
    ),
    Phase(
        "while the second target is asked",
        _silent,
        _silent,
        held=("second",),
        earlier=(("first", refuses(500)),),
    ),
    Phase(
        "while the third target has a head",
        _body(),
        _events(ROLE),
        held=("third",),
        earlier=(("first", refuses(429)), ("second", stream(cut))),
    ),
    Phase(
        "in the pause before a repeat",
        _silent,  # nobody is asked to
        _silent,
        model="test/again",
        held=(),
        earlier=(("again", refuses(429, Retry_After="1")),),
        repeats_after=1.0,
    ),
    Phase(
        "while a hedge runs",
        _silent,
        _silent,
        model="test/hedged",
        held=("first", "second"),
        hedged=True,
    ),
    Phase(
        "while another target goes on with it",
        UNARY,
        _silent,
        model="test/resuming",
        held=("second",),
        earlier=(("first", stream(ROLE, HEL, cut)),),
        begun=True,
        continued=True,
    ),
]
