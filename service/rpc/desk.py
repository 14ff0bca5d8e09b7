"""What a call has to have before it is worked on: a part of its limits, a place, and money.

All of it is given back once, however the call ends.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol

from llmbase.v1.chat_completion_pb2 import ChatCompletionRequest, RouteFacts, Usage
from llmbase.v1.routing_pb2 import RouteTrace

from service.accounts.caller import Caller
from service.accounts.charging import Charge, Charging
from service.accounts.limits import Headers, Lease, Limiter
from service.admission.admission import Admission
from service.admission.priority import Priority
from service.errors import Error
from service.providers import estimate
from service.providers.call import Call
from service.rpc.current import Generation
from telemetry.metrics import QUEUE_SECONDS, Metrics


class Asking(Protocol):
    """Who asks to be let in; see `open_call.OpenCall`."""

    caller: Caller
    priority: Priority
    most_output: int  # tokens that it lets its answers have
    headers: Headers  # what is to be told of its limits, once it was let in


class Holding:
    """What one call holds while it is worked on. Whoever has it closes it."""

    def __init__(self, admission: Admission, lease: Lease, entered: float) -> None:
        self._admission = admission
        self._lease = lease
        self._closed = False
        self.entered = entered  # when it got its place
        self.charge: Charge | None = None  # none where another call pays

    def settle(self, usage: Usage, route: RouteFacts, trace: RouteTrace) -> None:
        """The call was answered, whole."""
        if self.charge is not None:
            self.charge.settle(usage, route, trace)

    def fail(self, error: BaseException, trace: RouteTrace) -> None:
        """The call ended before anything was answered."""
        if self.charge is not None:
            self.charge.fail(error, trace)

    def close(self) -> None:
        """Give back what is still held."""
        if self._closed:
            return
        self._closed = True
        tokens = 0
        if (charge := self.charge) is not None:
            charge.close()
            tokens = charge.tokens
        self._lease.leave(tokens)
        self._admission.leave(self.entered)


class Desk:
    """Lets calls begin, in the order in which a refusal is cheapest. `clock` is the admission's."""

    def __init__(
        self,
        limiter: Limiter,
        admission: Admission,
        charging: Charging,
        clock: Callable[[], float],
        metrics: Metrics,
    ) -> None:
        self._limiter = limiter
        self._admission = admission
        self._charging = charging
        self._clock = clock
        self._queued = metrics.of(QUEUE_SECONDS, "priority")

    async def take(
        self,
        asking: Asking,
        call: Call,
        request: ChatCompletionRequest,
        pays: Generation | None,
    ) -> Holding:
        """Return what the call holds from now on, and tell who asks what is left of its limits.

        `pays` is the generation by whose prices it pays; None for a call that another call pays.
        Raises TooManyConcurrentRequests, RateLimitExceeded, InsufficientBalance, SpendCapReached,
        PriceUnknown, ServiceUnavailable and what ends the call's wait: DeadlineExceeded.
        """
        caller, priority = asking.caller, asking.priority
        tokens = 0  # who has no limit of them is let in whatever it will use
        if caller.limits.tokens_per_minute:
            tokens = estimate.prompt_tokens(request, call.seen) + asking.most_output
        call.wait.check()
        lease = self._limiter.enter_at_once(caller, tokens)
        if lease is None:
            with call.wait:
                lease = await self._limiter.enter(caller, tokens)
        asked = entered = self._clock()
        if not self._admission.enter_at_once():
            call.seen = None  # who has to wait keeps no second copy of what was asked
            try:
                entered = await self._admission.enter(priority, call.wait, call.seconds_left())
            except BaseException:
                lease.leave(0)
                raise
            call.waited += entered - asked
        self._queued[(priority,)].observe(entered - asked)
        holding = Holding(self._admission, lease, entered)
        if pays is not None:
            try:
                charge = self._charging.open(caller, request, pays.prices, call)
                if charge.pays:
                    await self._charging.hold(charge, pays.router)
                holding.charge = charge
            except BaseException:
                holding.close()
                raise
        asking.headers = lease.headers
        return holding

    def dismiss(self, error: Callable[[], Error]) -> None:
        """Send all who wait for a place away: the process is about to end."""
        self._admission.dismiss(error)
