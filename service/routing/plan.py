"""One call's way through the targets: who is next, who is passed over, and why.

A plan decides and remembers; it sends nothing and waits for nothing.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from llmbase.v1.chat_completion_pb2 import ChatCompletionRequest
from llmbase.v1.routing_pb2 import RouteAttemptKind, RouteCandidate, RouteTrace, RouteVerdict

from service.providers.call import Call
from service.providers.seen import given
from service.routing import capability, gate, policy
from service.routing.board import ProviderState
from service.routing.breaker import CLOSED, HALF_OPEN
from service.routing.retry_budget import ImaginedBudget
from service.routing.router import Candidate, Router
from service.routing.step import CONTINUATION, HEDGE, ORIGINAL, REPEAT, Step

_FIRST_PAUSE = 0.1  # seconds before the first repeat of all targets
_LONGEST_PAUSE = 2.0

_TAKEN = RouteVerdict.ROUTE_VERDICT_TAKEN
_PARAMETERS = RouteVerdict.ROUTE_VERDICT_PARAMETERS
_CAPABILITY = RouteVerdict.ROUTE_VERDICT_CAPABILITY
_FORBIDDEN = RouteVerdict.ROUTE_VERDICT_FORBIDDEN
_MAX_ATTEMPTS = RouteVerdict.ROUTE_VERDICT_MAX_ATTEMPTS


class Plan:
    """The targets of one call. `dry` changes nothing outside: budgets are only imagined spent."""

    waits: tuple[float, ...] = ()  # seconds until those that were passed over may be tried
    _fallbacks: Iterator[str] | None = None  # the models to go on to; None: none was needed yet
    _imagined: dict[str, ImaginedBudget]  # what pays for a dry one, by provider
    # Of the current model: its targets in order, the number of their first row in the trace, and
    # the rows of those that were not looked at yet.
    _ordered: Sequence[Candidate]
    _first: int
    _unseen: list[RouteCandidate | None]
    _most: int  # attempts at them
    _left: list[int]  # those of this round, by their places in the order
    _taken = False  # whether one has been tried in this round
    _pause = 0.0  # seconds before its first is

    def __init__(
        self,
        router: Router,
        request: ChatCompletionRequest,
        call: Call,
        stream: bool,
        draw: int,
        trace: RouteTrace | None = None,
        *,
        dry: bool = False,
    ) -> None:
        """Raises ModelNotFound."""
        has = given(request, call.seen)
        self.trace = trace = RouteTrace() if trace is None else trace
        self.rows, self.attempts = trace.candidates, trace.attempts
        self.requested = requested = has.get("model", "")
        trace.requested_model = requested
        trace.draw = self._draw = draw
        self.models: list[str] = []  # that were asked, or would have been but for their targets
        self._router = router
        self.request = request
        self.call = call
        self.stream = stream
        self.began = began = router.clock()  # in monotonic seconds
        self._dry = dry
        if dry:
            self._imagined = {}
        self._session: int | None = None
        if key := has.get("prompt_cache_key") or has.get("user"):
            self._session = trace.session = policy.session(key)
        # The providers and the models of the attempts there have been.
        self._asked: tuple[str, ...] = ()
        self._tried: tuple[str, ...] = ()
        self._unable: tuple[Candidate, ...] = ()  # that must not be tried again
        self._enter(requested, began)
        self.price = self._ordered[0].price  # what the requested model costs the caller

    def next(self) -> Step | None:
        """Return the next target that may be tried, None when there is none."""
        while True:
            while self._left:
                pause = 0.0 if self._taken else self._pause
                step = self._look_at(self._left.pop(0), ORIGINAL, pause)
                if step is not None:
                    self._taken = True
                    return step
            if not (self._taken and self._repeat()) and not self._fall_back():
                return None

    def beside(self, slow: Step) -> Step | None:
        """Return a target of the same model for a hedge; it will not be next as well.

        It is paid from the budget of the slow one's provider, whose originals are hedged. What is
        passed over as a hedge may still be next: a hedge is a luxury, the next is not.
        """
        return self._ahead(HEDGE, self._left, slow.candidate.state.provider)

    def after_break(self) -> Step | None:
        """Return a target of the same model that can go on with a stream that broke."""
        return self._ahead(
            CONTINUATION, [i for i in self._left if self._ordered[i].target.continuation]
        )

    def still(self, step: Step) -> bool:
        """Look again at a target immediately before it is asked: there may have been a pause, or
        images to fetch. If it is passed over now, it was not tried, and will not be in this call.
        """
        candidate = step.candidate
        state = candidate.state
        if not step.timed and candidate.most_in_flight is None and state.state() is CLOSED:
            return True  # there is nothing else that can have changed
        left = self.call.seconds_left()
        if gate.look_again(self.rows[step.row], candidate, left, stream=self.stream):
            return True
        self.waits += (state.wait(),)
        self._take_back(step)
        return False

    def unfit(self, step: Step) -> None:
        """The target cannot be asked this: it was not tried after all."""
        self.rows[step.row].verdict = _PARAMETERS
        self._take_back(step)

    def give_up(self, step: Step) -> None:
        """What went wrong will go wrong again at this target: no repeats."""
        self._unable += (step.candidate,)

    def _enter(self, model_id: str, now: float) -> None:
        """Begin with the targets of a model. Raises ModelNotFound."""
        self.models.append(model_id)
        self._ordered = ordered = self._router.candidates(
            model_id,
            now,
            stream=self.stream,
            draw=self._draw,
            session=self._session,
            dry=self._dry,
        )
        rows = self.rows
        self._first, self._unseen = len(rows), []
        for candidate in ordered:
            self._unseen.append(candidate.tell(rows.add()))
        self._most = ordered[0].max_attempts
        self._left, self._taken, self._pause = list(range(len(ordered))), False, 0.0

    def _repeat(self) -> bool:
        """Begin another round of the current model's targets after one that took some."""
        if self._dry or self._most <= len(self._ordered):
            return False
        if self._tried.count(self.models[-1]) >= self._most:
            return False
        self._left, self._taken = list(range(len(self._ordered))), False
        self._pause = min(max(_FIRST_PAUSE, self._pause * 2), _LONGEST_PAUSE)
        return True

    def _fall_back(self) -> bool:
        """Go on to the next model that may answer; False when there is none."""
        if self._fallbacks is None:
            self._fallbacks = iter(self._router.model(self.requested).fallbacks)
        for model_id in self._fallbacks:
            fallback = self._router.model(model_id)
            if not self.call.may_serve(model_id):
                self.rows.add(model=model_id, verdict=_FORBIDDEN)
            elif not capability.allows(self.request, model_id, fallback):
                self.rows.add(model=model_id, verdict=_CAPABILITY)
            else:
                self._enter(model_id, self._router.clock())
                return True
        return False

    def _ahead(
        self,
        purpose: RouteAttemptKind.ValueType,
        able: list[int],
        payer: ProviderState | None = None,
    ) -> Step | None:
        for place in tuple(able):
            step = self._look_at(place, purpose, 0.0, payer)
            if step is not None:
                self._left.remove(place)
                return step
        return None

    def _look_at(
        self,
        place: int,
        purpose: RouteAttemptKind.ValueType,
        pause: float,
        payer: ProviderState | None = None,
    ) -> Step | None:
        """Return a step to a target, unless it is passed over. `payer` is whose budget pays for a
        hedge; what else is charged is paid from the target's own provider's.
        """
        candidate = self._ordered[place]
        if candidate in self._unable:
            return None
        row, traced = self._first + place, self._unseen[place]
        self._unseen[place] = None
        if traced is None:
            row, traced = len(self.rows), self._again(self.rows[row])
        if self._tried.count(candidate.model_id) >= self._most:
            traced.verdict = _MAX_ATTEMPTS
            return None
        state, asked, name = candidate.state, self._asked, candidate.provider.name
        provider = payer or state.provider
        budget = self._imagine(provider) if self._dry else provider.budget
        breaker, left = state.state(), self.call.seconds_left()
        # The first attempt of a call is its own; a move to a provider that works is free.
        charged = payer is not None or (bool(asked) and (name in asked or breaker is HALF_OPEN))
        verdict = gate.look(
            traced, candidate, breaker, left, budget.level, charged=charged, stream=self.stream
        )
        if payer is not None:
            verdict = gate.look_at_hedge(traced, candidate, self.request)
        if verdict != _TAKEN:
            self.waits += (state.wait(),)
            return None
        if charged:
            budget.withdraw()
        else:
            budget.deposit()
        if purpose == ORIGINAL and name in asked:
            purpose = REPEAT
        self._asked += (name,)
        self._tried += (candidate.model_id,)
        return Step(candidate, row, purpose, budget if charged else None, left is not None, pause)

    def _again(self, looked_at: RouteCandidate) -> RouteCandidate:
        """Return a new row of the trace for a target that has been looked at before."""
        traced = self.rows.add()
        traced.CopyFrom(looked_at)
        traced.ClearField("verdict")
        traced.ClearField("gate")
        return traced

    def _imagine(self, provider: ProviderState) -> ImaginedBudget:
        """Return a provider's budget as this call imagines it."""
        return self._imagined.setdefault(provider.name, ImaginedBudget(provider.budget))

    def _take_back(self, step: Step) -> None:
        """A target that was taken is not asked after all, and not in this call any more."""
        self.give_up(step)
        candidate = step.candidate
        self._asked = _without(self._asked, candidate.provider.name)
        self._tried = _without(self._tried, candidate.model_id)
        if step.charged is not None:
            step.charged.give_back()


def _without(names: tuple[str, ...], name: str) -> tuple[str, ...]:
    """Return the names, one of them fewer."""
    place = names.index(name)
    return names[:place] + names[place + 1 :]
