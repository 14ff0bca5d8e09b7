"""One loop for whole and streamed answers: targets in order, until one has answered.

A stream has answered when its first content has arrived. Before that line every failure goes to
the next target and the caller sees nothing of it; after it the answer belongs to that target alone,
unless the caller allows another to go on with it.
"""

from __future__ import annotations

import random
from collections.abc import Awaitable, Callable
from typing import TypeVar

from llmbase.v1.chat_completion_pb2 import ChatCompletion, ChatCompletionRequest
from llmbase.v1.routing_pb2 import RouteTrace

from service.providers import estimate
from service.providers.call import Call
from service.providers.provider import AnswerStream, Encoded
from service.routing.answer import Answer
from service.routing.means import Means
from service.routing.plan import Plan
from service.routing.router import Candidate, Router
from service.routing.run import Ask, Run
from telemetry.metrics import Metrics

# Hexadecimal digits of a call's draw, and of its answer's id. They are drawn together, and for many
# calls at a time: of the system's randomness each drawing is a system call.
_DRAW, _ID = 16, 24
_AHEAD = 64  # calls

T = TypeVar("T")


class Dispatcher:
    """Gets answers. `now` gives Unix seconds, `clock` monotonic ones; `chance` makes ids."""

    def __init__(
        self,
        router: Router,
        now: Callable[[], float],
        clock: Callable[[], float],
        chance: random.Random,
        metrics: Metrics,
    ) -> None:
        self._router = router
        self._means = Means.of(now, clock, chance, metrics)
        self._drawn: list[tuple[int, str]] = []  # for calls to come

    async def complete(
        self, request: ChatCompletionRequest, call: Call, trace: RouteTrace | None = None
    ) -> ChatCompletion:
        """Return a whole answer. What was done for it is told to `trace`, however it ends.

        Raises ModelNotFound, InvalidRequest (no target can be asked this), RejectedByProvider,
        AllProvidersFailed, DeadlineExceeded.
        """
        run = self._begin(request, call, trace, _complete, _forget, stream=False)
        completion = await run.answer()
        winner = run.winner
        if completion.HasField("route"):  # another llmbase's
            completion.route.CopyFrom(run.route(completion.route))
        else:
            run.tell(completion.route)
        completion.id = run.id
        completion.created = int(self._means.now())
        completion.model = winner.step.candidate.model_id
        if not completion.HasField("usage"):
            characters = estimate.completion_characters(completion)
            completion.usage.CopyFrom(estimate.usage(request, characters))
        usage = completion.usage
        winner.settle(usage, completion)
        run.charge(usage)
        winner.leave()
        return completion

    async def stream(
        self, request: ChatCompletionRequest, call: Call, trace: RouteTrace | None = None
    ) -> Answer:
        """Return an answer whose first content has arrived. Raises as `complete` does."""
        choices = request.n or 1

        def ask(to: Candidate, http: Encoded, call: Call) -> Awaitable[AnswerStream]:
            return to.provider.stream(http, choices, call)

        run = self._begin(request, call, trace, ask, _close, stream=True)
        stream = await run.answer()
        return Answer(
            request,
            stream,
            run.winner,
            run.route(stream.route),
            run.id,
            int(self._means.now()),
            run.resume,
            run.charge,
        )

    def _begin(
        self,
        request: ChatCompletionRequest,
        call: Call,
        trace: RouteTrace | None,
        ask: Ask[T],
        drop: Callable[[T], None],
        *,
        stream: bool,
    ) -> Run[T]:
        draw, answer_id = self._draw()
        plan = Plan(self._router, request, call, stream, draw, trace)
        return Run(plan, answer_id, ask, drop, self._means)

    def plan(
        self,
        request: ChatCompletionRequest,
        call: Call,
        *,
        stream: bool,
        dry: bool = False,
    ) -> Plan:
        """Return a call's way through the targets. A `dry` one changes nothing.

        Raises ModelNotFound.
        """
        draw, _ = self._draw()
        return Plan(self._router, request, call, stream, draw, dry=dry)

    def _draw(self) -> tuple[int, str]:
        """Return a call's draw, and its answer's id."""
        if not self._drawn:
            each = _DRAW + _ID
            digits = self._means.chance.randbytes(each * _AHEAD // 2).hex()
            for i in range(0, len(digits), each):
                draw, own = digits[i : i + _DRAW], digits[i + _DRAW : i + each]
                self._drawn.append((int(draw, 16), f"chatcmpl-{own}"))
        return self._drawn.pop()


def _complete(to: Candidate, http: Encoded, call: Call) -> Awaitable[ChatCompletion]:
    return to.provider.complete(http, call)


def _close(stream: AnswerStream) -> None:
    stream.close()


def _forget(completion: ChatCompletion) -> None:
    """Nothing is open of a whole answer."""
