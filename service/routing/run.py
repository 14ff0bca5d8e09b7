"""One call on its way through its plan: ask, wait, move on, until one target has answered."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Generic, TypeVar

from llmbase.v1.chat_completion_pb2 import ChatCompletionRequest, RouteFacts, Usage

from service.errors import FaultKind, InvalidRequest, ProviderFault
from service.providers.call import Call
from service.providers.provider import AnswerStream, Encoded
from service.routing import ending, money, route_facts
from service.routing.attempt import Attempt
from service.routing.means import Means
from service.routing.plan import Plan
from service.routing.race import Race
from service.routing.router import Candidate
from service.routing.step import Step
from telemetry.metrics import FALLBACKS, count_ignored

_NEVER_IGNORED = ("n",)  # an answer with fewer choices is another answer
_HOPELESS = frozenset({401, 402, 403, 404})  # statuses that a repeat does not change
_SLOW_SHARE = 0.95  # of a target's answers that are faster than the one that is hedged

T = TypeVar("T")
Ask = Callable[[Candidate, Encoded, Call], Awaitable[T]]


class Run(Generic[T]):
    """One call on its way through its plan. `id` is its answer's; `winner` is the attempt that
    answered.
    """

    winner: Attempt
    _ignored: tuple[str, ...] = ()  # by the winner
    _faults: tuple[ProviderFault, ...] = ()
    _unfit: InvalidRequest | None = None

    def __init__(
        self,
        plan: Plan,
        answer_id: str,
        ask: Ask[T],
        drop: Callable[[T], None],
        means: Means,
    ) -> None:
        self.id = answer_id
        self._plan = plan
        self._request = plan.request
        self._call = plan.call
        self._ask = ask
        self._drop = drop
        self._means = means

    async def answer(self) -> T:
        """Return the first answer. Raises as `Dispatcher.complete` does."""
        plan, request, call, ask = self._plan, self._request, self._call, self._ask
        while (step := plan.next()) is not None:
            candidate = step.candidate
            if candidate.provider.images is None:  # nothing to wait for
                http = self._encode(step, request)
            else:
                http = await self._fetch_and_encode(step, request)
            if http is None:
                continue
            if step.pause:
                await self._pause(step.pause)
            if not plan.still(step):
                continue
            latency = candidate.state.latency(stream=plan.stream) if candidate.hedged else None
            slow = None if latency is None else latency.quantile(_SLOW_SHARE)
            if slow is not None:
                answer = await self._race(step, http, slow)
            else:
                self.winner = winner = Attempt(plan, step, request, call, self._means)
                self._ignored = http.ignored
                try:
                    answer = await ask(candidate, http, call)
                except BaseException as error:
                    winner.unanswered(error)
                    if not isinstance(error, ProviderFault):
                        raise
                    self._failed(step, error)
                    answer = None
                else:
                    winner.succeed()
                call.waited += winner.seconds
            if answer is not None:
                return answer
        raise ending.no_answer(plan, self._faults, self._unfit)

    def route(self, theirs: RouteFacts | None) -> RouteFacts:
        """Return how the answer came about; `theirs` is what another llmbase says of its part."""
        ours = RouteFacts()
        self.tell(ours)
        if theirs is None:
            return ours
        silent = self.winner.step.candidate.parameters == "drop"
        return route_facts.joined(ours, theirs, silent=silent)

    def tell(self, route: RouteFacts) -> None:
        """Write down, and count, how an answer came about that nobody else had a part in."""
        plan, candidate = self._plan, self.winner.step.candidate
        route.CopyFrom(candidate.facts)
        if (attempts := len(plan.attempts)) > 1:
            route.attempts = attempts
        if candidate.model_id != plan.requested:
            route_facts.tell_fallback(route, plan.requested, plan.models)
            self._means.metrics.count(FALLBACKS, model=plan.requested)
        if ignored := self._ignored:
            count_ignored(self._means.metrics, ignored)
            if candidate.parameters == "warn":
                route.ignored_parameters.extend(ignored)

    def charge(self, usage: Usage) -> None:
        """Say in the trace what the caller pays for so much of an answer."""
        charged = money.charge(self._plan.price, self.winner.step.candidate.price, usage)
        if charged is not None:
            self._plan.trace.charge_nanos = charged

    async def resume(self, request: ChatCompletionRequest) -> tuple[AnswerStream, Attempt] | None:
        """Return a stream that goes on with a request's last turn; None when no target can.

        Raises DeadlineExceeded.
        """
        while (step := self._plan.after_break()) is not None:
            http = await self._fetch_and_encode(step, request)
            if http is None or not self._plan.still(step):
                continue
            attempt = Attempt(self._plan, step, request, self._call, self._means)
            try:
                stream = await attempt.run(step.candidate.provider.stream(http, 1, self._call))
            except ProviderFault:
                continue
            return stream, attempt
        return None

    async def _race(self, step: Step, http: Encoded, usual: float) -> T | None:
        """Return the answer of a target, or of the one beside it; None when they failed."""
        race: Race[T] = Race(self._call, self._drop)
        ignored, began = {step.row: http.ignored}, self._means.clock()
        try:
            self._start(race, step, http).hedged_after(usual)
            won = await race.first(usual)
            beside = self._plan.beside(step) if won is None and race.undecided else None
            if beside is not None:
                other = await self._fetch_and_encode(beside, self._request)
                if other is not None and self._plan.still(beside):
                    ignored[beside.row] = other.ignored
                    self._start(race, beside, other)
            if won is None and race.undecided:
                won = await race.first(None)
        except BaseException as error:
            race.break_off(error)
            raise
        finally:
            race.end()
        for attempt, fault in race.faults:
            self._failed(attempt.step, fault)
        self._call.waited += self._means.clock() - began
        if won is None:
            return None
        self.winner, answer = won
        self._call = self.winner.call  # what ends the call ends this one's waits from now on
        self._ignored = ignored[self.winner.step.row]
        return answer

    def _start(self, race: Race[T], step: Step, http: Encoded) -> Attempt:
        fork = self._call.fork()
        attempt = Attempt(self._plan, step, self._request, fork, self._means)
        race.start(attempt, fork, attempt.run(self._ask(step.candidate, http, fork)))
        return attempt

    async def _fetch_and_encode(self, step: Step, request: ChatCompletionRequest) -> Encoded | None:
        """Return what is to be sent, for any target: the images of some are fetched before."""
        images = step.candidate.provider.images
        if images is not None:
            try:
                with self._call.wait:
                    request = await images.inline(request)
            except InvalidRequest as error:
                self._cannot_be_asked(step, error)
                return None
        return self._encode(step, request)

    def _encode(self, step: Step, request: ChatCompletionRequest) -> Encoded | None:
        """Return what is to be sent; None when the target cannot be asked this."""
        candidate = step.candidate
        try:
            http: Encoded = candidate.provider.encode(
                request, candidate.provider_model, self._call, stream=self._plan.stream
            )
            if http.ignored:
                check_parameters(candidate, http)
        except InvalidRequest as error:
            self._cannot_be_asked(step, error)
            return None
        # It may be as large as the request, and is not to be kept while a provider is waited for. A
        # further target is seldom asked, and looks for itself.
        self._call.seen = None
        return http

    def _cannot_be_asked(self, step: Step, error: InvalidRequest) -> None:
        self._unfit = self._unfit or error  # another target may be able to
        self._plan.unfit(step)

    async def _pause(self, seconds: float) -> None:
        """Wait before targets are asked again; somewhat at random, so that callers spread."""
        asked = [it.retry_after for it in self._faults if it.retry_after is not None]
        seconds = max(seconds * (0.5 + self._means.chance.random() / 2), min(asked, default=0.0))
        left = self._call.seconds_left()
        if left is not None and left <= seconds:
            raise ending.too_late()
        with self._call.wait:
            await asyncio.sleep(seconds)
        self._call.waited += seconds

    def _failed(self, step: Step, fault: ProviderFault) -> None:
        if fault.kind is FaultKind.REJECTED:
            raise ending.rejected(fault, step.candidate.provider) from None
        # Without its traceback, whose frames hold this run, and with it the request.
        self._faults += (fault.with_traceback(None),)
        if fault.status in _HOPELESS:
            self._plan.give_up(step)


def check_parameters(candidate: Candidate, http: Encoded) -> None:
    """Raise InvalidRequest if what the target would leave out may not be left out."""
    for name in http.ignored:
        if candidate.parameters == "strict" or name in _NEVER_IGNORED:
            raise InvalidRequest(
                name, f"the provider {candidate.provider.name} cannot honour it for this model"
            )
