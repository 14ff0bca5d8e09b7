"""One loop for whole and streamed answers: targets in order, until one has answered.

A stream has answered when its first content has arrived. Before that line every failure goes to
the next target and the caller sees nothing of it; after it the answer belongs to that target alone.
"""

from __future__ import annotations

import logging
import random
from collections.abc import Awaitable, Callable
from typing import TypeVar

from llmbase.v1.chat_completion_pb2 import ChatCompletion, ChatCompletionRequest, RouteFacts

from service.errors import (
    AllProvidersFailed,
    FaultKind,
    InvalidRequest,
    ProviderFault,
    RejectedByProvider,
)
from service.providers import estimate
from service.providers.call import Call
from service.providers.dialects.dialect import HttpRequest
from service.routing.answer import Answer
from service.routing.router import Candidate, Router
from telemetry.metrics import PROVIDER_ALERTS, Metrics, count_ignored

_LOG = logging.getLogger("llmbase.routing")
_NEVER_IGNORED = ("n",)  # an answer with fewer choices is another answer
_OUR_FAULT = (401, 403)  # statuses that say our credentials are no good: an alert
_RETRY_AFTER = 1.0  # seconds, where no provider said how long

T = TypeVar("T")


class Dispatcher:
    """Gets answers. `now` gives Unix seconds; `chance` makes ids."""

    def __init__(
        self, router: Router, now: Callable[[], float], chance: random.Random, metrics: Metrics
    ) -> None:
        self._router = router
        self._now = now
        self._chance = chance
        self._metrics = metrics

    async def complete(self, request: ChatCompletionRequest, call: Call) -> ChatCompletion:
        """Return a whole answer.

        Raises ModelNotFound, InvalidRequest (no target can be asked this), RejectedByProvider,
        AllProvidersFailed, DeadlineExceeded.
        """
        completion, route = await self._first_answer(
            request, call, False, lambda to, http: to.provider.complete(http, call)
        )
        completion.id = self._new_id()
        completion.created = int(self._now())
        completion.model = route.served_model
        completion.route.CopyFrom(route)
        if not completion.HasField("usage"):
            characters = estimate.completion_characters(completion)
            completion.usage.CopyFrom(estimate.usage(request, characters))
        return completion

    async def stream(self, request: ChatCompletionRequest, call: Call) -> Answer:
        """Return an answer whose first content has arrived. Raises as `complete` does."""
        choices = request.n or 1
        stream, route = await self._first_answer(
            request, call, True, lambda to, http: to.provider.stream(http, choices, call)
        )
        return Answer(request, stream, route, self._new_id(), int(self._now()))

    async def _first_answer(
        self,
        request: ChatCompletionRequest,
        call: Call,
        stream: bool,
        ask: Callable[[Candidate, HttpRequest], Awaitable[T]],
    ) -> tuple[T, RouteFacts]:
        faults: list[ProviderFault] = []
        unfit: InvalidRequest | None = None
        tried: list[str] = []
        for candidate in self._router.candidates(request, call.may_serve):
            try:
                http = await candidate.provider.encode(
                    request, candidate.provider_model, call, stream=stream
                )
                _check_parameters(candidate, http)
            except InvalidRequest as error:
                unfit = unfit or error  # nothing was sent; another target may be able to
                continue
            if candidate.model_id not in tried:
                tried.append(candidate.model_id)
            try:
                answer = await ask(candidate, http)
            except ProviderFault as fault:
                _log_failure(call, candidate, fault)
                self._count_alert(candidate, fault)
                if fault.kind is FaultKind.REJECTED:
                    raise RejectedByProvider(
                        candidate.provider.redact(fault.told)
                        or "The provider refused the request.",
                        facts={"provider": candidate.provider.name},
                    ) from None
                faults.append(fault)
                continue
            count_ignored(self._metrics, http.ignored)
            route = _route(request.model, candidate, tried, attempts=len(faults) + 1)
            if candidate.parameters == "warn":
                route.ignored_parameters.extend(http.ignored)
            return answer, route
        if unfit is not None and not faults:
            raise unfit
        raise _all_failed(faults)

    def _count_alert(self, candidate: Candidate, fault: ProviderFault) -> None:
        if fault.status in _OUR_FAULT:
            self._metrics.count(
                PROVIDER_ALERTS, provider=candidate.provider.name, status=str(fault.status)
            )

    def _new_id(self) -> str:
        return f"chatcmpl-{self._chance.getrandbits(96):024x}"


def _check_parameters(candidate: Candidate, http: HttpRequest) -> None:
    """Raise InvalidRequest if what the target would leave out may not be left out."""
    for name in http.ignored:
        if candidate.parameters == "strict" or name in _NEVER_IGNORED:
            raise InvalidRequest(
                name, f"the provider {candidate.provider.name} cannot honour it for this model"
            )


def _route(requested: str, to: Candidate, tried: list[str], *, attempts: int) -> RouteFacts:
    fallback = to.model_id != requested
    return RouteFacts(
        requested_model=requested,
        served_model=to.model_id,
        provider=to.provider.name,
        attempts=attempts,
        fallback_applied=fallback,
        fallback_reason="model_unavailable" if fallback else "",
        fallback_chain=tried if fallback else (),
    )


def _all_failed(faults: list[ProviderFault]) -> AllProvidersFailed:
    waits = [fault.retry_after for fault in faults if fault.retry_after is not None]
    return AllProvidersFailed(
        "All upstream providers failed. Retry with backoff.",
        retry_after=min(waits, default=_RETRY_AFTER),
        facts={"attempts": str(len(faults))},
    )


def _log_failure(call: Call, candidate: Candidate, fault: ProviderFault) -> None:
    _LOG.warning(
        "attempt failed",
        extra={
            "request_id": call.request_id,
            "model": candidate.model_id,
            "provider": candidate.provider.name,
            "fault": fault.kind.value,
            "status": fault.status,
            "detail": fault.detail,
        },
    )
