"""One loop for whole and streamed answers: targets in order, until one has answered.

A stream has answered when its first content has arrived. Before that line every failure goes to
the next target and the caller sees nothing of it; after it the answer belongs to that target alone,
unless the caller allows another to go on with it.
"""

from __future__ import annotations

import random
from collections.abc import Awaitable, Callable

from llmbase.v1.chat_completion_pb2 import ChatCompletion, ChatCompletionRequest
from llmbase.v1.routing_pb2 import RouteTrace

from service.providers import estimate
from service.providers.call import Call
from service.providers.provider import AnswerStream, Encoded
from service.routing.answer import Answer
from service.routing.means import Means
from service.routing.plan import Plan
from service.routing.router import Candidate, Router
from service.routing.run import Run
from telemetry.metrics import Metrics

# Bits of a call's draw, and of its answer's id. They are drawn together: of the system's randomness
# each drawing is a system call.
_DRAW, _ID = 64, 96
_BOTH = _DRAW + _ID
_IDS = 2**_ID


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

    async def complete(
        self, request: ChatCompletionRequest, call: Call, trace: RouteTrace | None = None
    ) -> ChatCompletion:
        """Return a whole answer. What was done for it is told to `trace`, however it ends.

        Raises ModelNotFound, InvalidRequest (no target can be asked this), RejectedByProvider,
        AllProvidersFailed, DeadlineExceeded.
        """
        means = self._means
        drawn = means.chance.getrandbits(_BOTH)
        plan = Plan(self._router, request, call, trace, stream=False, draw=drawn >> _ID)
        run = Run(plan, request, call, _complete, _forget, means, stream=False)
        completion = await run.answer()
        winner = run.winner
        if completion.HasField("route"):  # another llmbase's
            completion.route.CopyFrom(run.route(completion.route))
        else:
            run.tell(completion.route)
        completion.id = _id(drawn)
        completion.created = int(means.now())
        completion.model = winner.step.candidate.model_id
        if not completion.HasField("usage"):
            characters = estimate.completion_characters(completion)
            completion.usage.CopyFrom(estimate.usage(request, characters))
        usage = completion.usage
        winner.settle(usage)
        winner.finish(completion)
        plan.charge(winner.step.candidate, usage)
        winner.leave()
        return completion

    async def stream(
        self, request: ChatCompletionRequest, call: Call, trace: RouteTrace | None = None
    ) -> Answer:
        """Return an answer whose first content has arrived. Raises as `complete` does."""
        choices = request.n or 1

        def ask(to: Candidate, http: Encoded, call: Call) -> Awaitable[AnswerStream]:
            return to.provider.stream(http, choices, call)

        drawn = self._means.chance.getrandbits(_BOTH)
        plan = Plan(self._router, request, call, trace, stream=True, draw=drawn >> _ID)
        run = Run(plan, request, call, ask, _close, self._means, stream=True)
        stream = await run.answer()
        return Answer(
            request,
            stream,
            run.winner,
            run.route(stream.route),
            _id(drawn),
            int(self._means.now()),
            run.resume,
            run.charge,
        )

    def plan(
        self,
        request: ChatCompletionRequest,
        call: Call,
        *,
        stream: bool,
        dry: bool = False,
    ) -> Plan:
        """Return a call's way through the targets. A `dry` one changes nothing."""
        draw = self._means.chance.getrandbits(_DRAW)
        return Plan(self._router, request, call, stream=stream, draw=draw, dry=dry)


def _id(drawn: int) -> str:
    return f"chatcmpl-{drawn % _IDS:024x}"


def _complete(to: Candidate, http: Encoded, call: Call) -> Awaitable[ChatCompletion]:
    return to.provider.complete(http, call)


def _close(stream: AnswerStream) -> None:
    stream.close()


def _forget(completion: ChatCompletion) -> None:
    """Nothing is open of a whole answer."""
