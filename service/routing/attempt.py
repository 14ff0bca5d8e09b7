"""One try of one target: how it went is told to the board, the trace and the log, once each."""

from __future__ import annotations

import logging
from collections.abc import Awaitable
from typing import TypeVar

from llmbase.v1.chat_completion_pb2 import (
    ChatCompletion,
    ChatCompletionChunk,
    ChatCompletionRequest,
    Usage,
)
from llmbase.v1.routing_pb2 import RouteAttemptKind

from service.errors import FaultKind, ProviderFault, TotalLimitExceeded
from service.money import cost
from service.providers import estimate
from service.providers.call import Call
from service.routing import attempt_span
from service.routing.board import Visit
from service.routing.means import Means
from service.routing.plan import Plan
from service.routing.step import Step
from telemetry.metrics import PROVIDER_ALERTS, PROVIDER_COST
from telemetry.tracing import Span

_LOG = logging.getLogger("llmbase.routing")

# What ends an attempt that its provider, once asked, was at work for: it bills what it was sent.
_AT_WORK = frozenset({"lost", "cancelled", FaultKind.SLOW.value, FaultKind.TRUNCATED.value})
_OUR_FAULT = (401, 403)  # statuses that say our credentials are no good: an alert

# What an attempt is for and how it ends, as metrics have it.
PURPOSES: dict[int, str] = {
    number: name.removeprefix("ROUTE_ATTEMPT_KIND_").lower()
    for name, number in RouteAttemptKind.items()
    if number
}
OUTCOMES = frozenset({"answered", "lost", "cancelled", *(kind.value for kind in FaultKind)})

T = TypeVar("T")


class Attempt(Visit):
    """A visit that others than the board are told of, too. `request` is as its target has it,
    `call` the plan's or a fork of it. `leave` must be called.

    `seconds` is how long it took until it was answered, or else to its end.
    """

    __slots__ = (
        "_broken_off",
        "_cost",
        "_means",
        "_outcome",
        "_request",
        "_span",
        "_stream",
        "_traced",
        "call",
        "seconds",
        "step",
    )

    def __init__(
        self, plan: Plan, step: Step, request: ChatCompletionRequest, call: Call, means: Means
    ) -> None:
        stream = plan.stream
        Visit.__init__(self, step.candidate.state, stream)
        self.step = step
        self.call = call
        self._request = request
        self._means = means
        self._stream = stream
        self._outcome = ""
        self._cost = 0  # in nano-dollars, as far as is known
        self._broken_off = False
        self._traced = traced = plan.attempts.add()
        traced.kind = step.kind
        if row := step.row:
            traced.candidate = row
        if start_ms := round((self.started - plan.began) * 1000):
            traced.start_ms = start_ms
        span = call.span
        self._span: Span | None = None  # of its own, where it is traced, until it is over
        if span.recording:
            self._span = span = attempt_span.begin(span, step, stream=stream)
        if (context := span.context) is not None:
            call.trace = context
        call.sent = False

    def hedged_after(self, seconds: float) -> None:
        """Say for how long it has its call to itself."""
        self._traced.hedge_after_ms = round(seconds * 1000)

    async def run(self, ask: Awaitable[T]) -> T:
        """Return the answer. Raises ProviderFault, DeadlineExceeded."""
        try:
            answer = await ask
        except BaseException as error:
            self.unanswered(error)
            raise
        self.succeed()
        return answer

    def succeed(self) -> None:
        """The first content, or the whole answer, is there."""
        seconds = self.answered()
        self._came("answered", seconds)
        if self._span is not None:
            attempt_span.answered(self._span, seconds, stream=self._stream)

    def unanswered(self, error: BaseException) -> None:
        """There will be no answer: it failed, or the call is over."""
        if isinstance(error, ProviderFault):
            self.fail(error)
        elif isinstance(error, TotalLimitExceeded):
            self.overrun(error)
        elif not self._outcome:
            self.endured()
            self.break_off(error)
            self._end("cancelled")

    def fail(self, fault: ProviderFault) -> None:
        """The attempt failed, before its first content or after."""
        self.failed(fault)
        self._traced.status = fault.status or 0
        if self._span is not None:
            attempt_span.failed(self._span, fault)
        self._end(fault.kind.value)
        candidate = self.step.candidate
        if fault.status in _OUR_FAULT:
            name = candidate.provider.name
            status = str(fault.status)
            self._means.metrics.count(PROVIDER_ALERTS, provider=name, status=status)
        _LOG.warning(
            "attempt failed",
            extra={
                "request_id": self.call.request_id,
                "model": candidate.model_id,
                "provider": candidate.provider.name,
                "fault": fault.kind.value,
                "status": fault.status,
                "detail": fault.detail,
            },
        )

    def overrun(self, error: TotalLimitExceeded) -> None:
        """The attempt took all the time that its provider has: too slow, whatever it brought."""
        self.fail(ProviderFault(FaultKind.SLOW, error.message))

    def lose(self) -> None:
        """Another attempt has answered first."""
        self.endured()
        if self._span is not None and not self._broken_off:
            attempt_span.lost(self._span)
        self._end("lost")

    def break_off(self, error: BaseException) -> None:
        """The call is over before the attempt is: say so where it is traced."""
        if self._span is not None and not self._broken_off:
            self._broken_off = True
            attempt_span.broken_off(self._span, error)

    def settle(
        self, usage: Usage, last: ChatCompletion | ChatCompletionChunk | None = None
    ) -> None:
        """What the attempt has used; `last` is with what its answer is complete, if it is."""
        if self._span is not None:
            attempt_span.used(self._span, usage)
            if last is not None:
                attempt_span.finished(self._span, last.choices)
        prices = self.step.candidate.cost
        if prices is not None:
            self._traced.cost_nanos = self._cost = cost(prices, usage)

    def leave(self) -> bool:
        """The attempt is over: what it came to is counted, once."""
        if not Visit.leave(self):
            return False
        if self._span is not None:
            self._span.end()
            self._span = None
        provider = self.step.candidate.provider.name
        self._means.attempts[provider, PURPOSES[self.step.kind], self._outcome].number += 1
        if self._cost:
            self._means.metrics.count(PROVIDER_COST, self._cost, provider=provider)
        return True

    def _came(self, outcome: str, seconds: float) -> None:
        self.seconds, traced = seconds, self._traced
        if not self._outcome:
            traced.first_content_ms = round(seconds * 1000)
        traced.outcome = self._outcome = outcome
        traced.sent = self.call.sent

    def _end(self, outcome: str) -> None:
        self._came(outcome, self.elapsed)
        at_work = self._traced.sent and outcome in _AT_WORK
        if at_work and not self._traced.HasField("cost_nanos"):
            self.settle(estimate.usage(self._request, 0))
        self.leave()
