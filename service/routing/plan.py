"""One call's way through the targets: who is next, who is passed over, and why.

A plan decides and remembers; it sends nothing and waits for nothing.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from llmbase.v1.chat_completion_pb2 import ChatCompletionRequest, Usage
from llmbase.v1.routing_pb2 import (
    RouteAttemptKind,
    RouteCandidate,
    RouteTrace,
    RouteVerdict,
)

from service.config import ModelConfig
from service.providers.call import Call
from service.routing import capability, money, policy
from service.routing.gate import PASSING, Gate
from service.routing.policy import Standing
from service.routing.router import Candidate, Router
from service.routing.tally import Tally

_FIRST_PAUSE = 0.1  # seconds before the first repeat of all targets
_LONGEST_PAUSE = 2.0

TAKEN = RouteVerdict.ROUTE_VERDICT_TAKEN
PARAMETERS = RouteVerdict.ROUTE_VERDICT_PARAMETERS
DEADLINE = RouteVerdict.ROUTE_VERDICT_DEADLINE
_CAPABILITY = RouteVerdict.ROUTE_VERDICT_CAPABILITY
_FORBIDDEN = RouteVerdict.ROUTE_VERDICT_FORBIDDEN
_MAX_ATTEMPTS = RouteVerdict.ROUTE_VERDICT_MAX_ATTEMPTS

ORIGINAL = RouteAttemptKind.ROUTE_ATTEMPT_KIND_ORIGINAL
REPEAT = RouteAttemptKind.ROUTE_ATTEMPT_KIND_REPEAT
HEDGE = RouteAttemptKind.ROUTE_ATTEMPT_KIND_HEDGE
CONTINUATION = RouteAttemptKind.ROUTE_ATTEMPT_KIND_CONTINUATION


class Step(NamedTuple):
    """A target to be tried. `row` is its place in the trace; `pause` is in seconds, before.

    `gate` is what it was taken by.
    """

    candidate: Candidate
    row: int
    kind: RouteAttemptKind.ValueType
    gate: Gate
    pause: float = 0.0


class Plan:
    """The targets of one call. `dry` changes nothing outside: the budget is only imagined spent."""

    waits: tuple[float, ...] = ()  # seconds until those that were passed over may be tried
    _session: int | None = None
    _unable: frozenset[tuple[str, int]] = frozenset()  # targets that must not be tried again
    _models_left: list[str] | None = None  # fallbacks to go on to; None: not begun
    # Of the current model: its targets, and how each stands, as listed.
    _ordered: Sequence[Candidate] = ()
    _standings: Sequence[Standing] = ()
    # Of those that were not looked at: their rows in the trace, and the places of these.
    _rows: dict[int, tuple[RouteCandidate, int]]
    _most = 0  # attempts at them
    _taken = False  # whether one has been tried in this round
    _pause = 0.0  # seconds before its first is

    def __init__(
        self,
        router: Router,
        request: ChatCompletionRequest,
        call: Call,
        trace: RouteTrace | None = None,
        *,
        stream: bool,
        draw: int,
        dry: bool = False,
    ) -> None:
        self.trace = trace = RouteTrace() if trace is None else trace
        trace.requested_model = self.requested = request.model
        trace.draw = self._draw = draw
        self.models: list[str] = []  # that were asked, or would have been but for their targets
        self._router = router
        self._request = request
        self._call = call
        self._stream = stream
        self._dry = dry
        key = request.prompt_cache_key or request.user
        if key:
            self._session = trace.session = policy.session(key)
        self._tally = Tally(request, call, stream=stream, dry=dry)
        self._left: list[Candidate] = []  # of this round of the current model's targets

    def next(self) -> Step | None:
        """Return the next target that may be tried, None when there is none.

        Raises ModelNotFound.
        """
        while True:
            while self._left:
                pause = 0.0 if self._taken else self._pause
                step = self._look_at(self._left.pop(0), ORIGINAL, pause)
                if step is not None:
                    self._taken = True
                    return step
            if not (self._taken and self._repeat()) and not self._enter_next():
                return None

    def beside(self, slow: Step) -> Step | None:
        """Return a target of the same model for a hedge; it will not be next as well.

        It is paid from the budget of the slow one's provider, whose originals are hedged. What is
        passed over as a hedge may still be next: a hedge is a luxury, the next is not.
        """
        self._tally.hedge(slow.candidate)
        return self._ahead(HEDGE, self._left)

    def after_break(self) -> Step | None:
        """Return a target of the same model that can go on with a stream that broke."""
        return self._ahead(CONTINUATION, [it for it in self._left if it.target.continuation])

    def still(self, step: Step) -> bool:
        """Look again at a target immediately before it is asked: there may have been a pause, or
        images to fetch. If it is passed over now, it was not tried, and will not be in this call.
        """
        seen = self._tally.look_again(step.candidate, step.gate)
        if seen is None or seen.verdict() == TAKEN:
            return True
        traced = self.trace.candidates[step.row]
        traced.ClearField("gate")
        seen.tell(traced)
        self.waits += (step.candidate.state.wait(),)
        self.give_up(step)
        self._tally.take_back(step.candidate, step.gate)
        return False

    def unfit(self, step: Step) -> None:
        """The target cannot be asked this: it was not tried after all."""
        self.trace.candidates[step.row].verdict = PARAMETERS
        self.give_up(step)
        self._tally.take_back(step.candidate, step.gate)

    def charge(self, served: Candidate, usage: Usage) -> None:
        """Say in the trace what the caller pays for what a target has answered."""
        asked = served.price
        if served.model_id != self.requested:
            asked = money.prices(self._router.model(self.requested).pricing)
        charged = money.charge(asked, served.price, usage)
        if charged is not None:
            self.trace.charge_nanos = charged

    def give_up(self, step: Step) -> None:
        """What went wrong will go wrong again at this target: no repeats."""
        self._unable |= {(step.candidate.model_id, step.candidate.listed)}

    def passed_over(self, *verdicts: RouteVerdict.ValueType) -> bool:
        """Whether a target was passed over for one of these reasons."""
        return any(candidate.verdict in verdicts for candidate in self.trace.candidates)

    def may_come_back(self) -> bool:
        """Whether a target was passed over that may be taken in a moment."""
        return self.passed_over(*PASSING)

    def _enter_next(self) -> bool:
        """Go on to the next model that may answer; False when there is none."""
        if self._models_left is None:
            model = self._router.model(self.requested)
            self._models_left = list(model.fallbacks)
            self._enter(self.requested, model)
            return True
        while self._models_left:
            model_id = self._models_left.pop(0)
            fallback = self._router.model(model_id)
            if not self._call.may_serve(model_id):
                self.trace.candidates.add(model=model_id, verdict=_FORBIDDEN)
            elif not capability.allows(self._request, model_id, fallback):
                self.trace.candidates.add(model=model_id, verdict=_CAPABILITY)
            else:
                self._enter(model_id, fallback)
                return True
        return False

    def _enter(self, model_id: str, model: ModelConfig) -> None:
        self.models.append(model_id)
        self._ordered, self._standings = self._router.candidates(
            model_id,
            stream=self._stream,
            draw=self._draw,
            session=self._session,
            dry=self._dry,
        )
        self._rows = rows = {}
        for candidate in self._ordered:
            rows[candidate.listed] = self._add_row(candidate)
        self._most = model.max_attempts or len(self._ordered)
        self._pause = 0.0
        self._begin_round()

    def _begin_round(self) -> None:
        self._taken = False
        self._left = list(self._ordered)
        if unable := self._unable:
            self._left = [it for it in self._left if (it.model_id, it.listed) not in unable]

    def _repeat(self) -> bool:
        """Begin another round of the current model's targets after one that took some."""
        if self._dry or self._most <= len(self._ordered):
            return False
        if self._tally.attempts(self.models[-1]) >= self._most:
            return False
        self._pause = min(max(_FIRST_PAUSE, self._pause * 2), _LONGEST_PAUSE)
        self._begin_round()
        return True

    def _ahead(self, purpose: RouteAttemptKind.ValueType, able: list[Candidate]) -> Step | None:
        for candidate in tuple(able):
            step = self._look_at(candidate, purpose, 0.0)
            if step is not None:
                self._left.remove(candidate)
                return step
        return None

    def _look_at(
        self, candidate: Candidate, purpose: RouteAttemptKind.ValueType, pause: float
    ) -> Step | None:
        known = self._rows.pop(candidate.listed, None)
        traced, row = known or self._add_row(candidate)
        if self._tally.attempts(candidate.model_id) >= self._most:
            traced.verdict = _MAX_ATTEMPTS
            return None
        seen = self._tally.look(candidate, hedge=purpose == HEDGE)
        if seen.tell(traced) != TAKEN:
            self.waits += (candidate.state.wait(),)
            return None
        repeat = self._tally.take(candidate, seen) and purpose == ORIGINAL
        return Step(candidate, row, REPEAT if repeat else purpose, seen, pause)

    def _add_row(self, candidate: Candidate) -> tuple[RouteCandidate, int]:
        rows = self.trace.candidates
        place = len(rows)
        row = rows.add()
        row.CopyFrom(candidate.row)
        self._standings[candidate.listed].tell(row.standing)
        return row, place
