"""One RPC that is open, from its metadata to its log line."""

from __future__ import annotations

from llmbase.v1.chat_completion_pb2 import ChatCompletionRequest, RouteFacts, Usage
from llmbase.v1.routing_pb2 import RouteTrace

from service.accounts.caller import Caller
from service.admission.priority import USUAL, Priority
from service.errors import ModelNotAllowed
from service.providers.call import Call
from service.routing import capability
from service.rpc import rpc_span, validation
from service.rpc.content import Content
from service.rpc.current import Generation
from service.rpc.desk import Holding

_TRACE_KEY = "llmbase-route-trace-bin"
_NOTICED = 0.01  # seconds before it was admitted that are worth a word in a call's log line


class OpenCall:
    """One RPC from its metadata to its log line, and the generation that answers it.

    Its times are monotonic seconds: it `started`, and `first` is when its first content, or its
    whole answer, was there; `chunks` were written. `own` says that it has waited for its providers
    itself: who has not does not know how long. `replayed` says that another call's answer was
    there, or on its way, before the call was.
    """

    # What every call is asked for is set in every call, the rest is here.
    first: float | None = None
    model = ""
    most_output = 0  # tokens that it lets its answers have; 0: it does not say
    shares = False  # whether its answer may be another call's, too: by its key, or by likeness
    route: RouteFacts | None = None  # of its answer, and what its line says of it
    provider, served_model, attempts = "", "", 0
    usage: Usage | None = None
    holding: Holding | None = None  # since it was admitted
    headers: tuple[tuple[str, str], ...] = ()  # what is left of its limits
    closed = False
    outcome = "CANCELLED"  # unless something else is said: only a cancellation says nothing
    code = "CANCELLED"  # gRPC's word for an outcome that is not OK

    def __init__(
        self,
        method: str,
        call: Call,
        caller: Caller,
        started: float,
        generation: Generation,
        priority: Priority,
    ) -> None:
        self.generation = generation
        self.method = method
        self.priority = priority
        self.call = call
        self.caller = caller
        self.started = started
        self.trace = RouteTrace()
        self.content: Content | None = None  # unless the call's span is to have it
        self.chunks = 0
        self.own = True
        self.replayed = False

    def check(self, request: ChatCompletionRequest) -> None:
        """Check a request before anything is done for it.

        Raises InvalidRequest, ModelNotFound, ModelNotAllowed, UnsupportedCapability.
        """
        self.call.seen = seen = validation.check(request)
        given = seen.given
        self.model = asked = given["model"]
        self.most_output = given.get("max_tokens", 0) * (given.get("n") or 1)
        model = self.generation.router.model(asked)
        self.shares = model.single_flight or bool(given.get("idempotency_key"))
        if self.call.span.recording:
            rpc_span.asked(self.call.span, request)
        if self.content is not None:
            self.content.asked(request)
        if not self.caller.may_use(asked):
            raise ModelNotAllowed(f"The API key may not use the model {asked}.")
        capability.check(request, asked, model, seen)

    def initial_metadata(self, route: RouteFacts) -> tuple[tuple[str, str], ...]:
        """Return what is told before the answer, by the names the REST headers have.

        That is its route, which the call's log line will have too, and what is left of limits.
        """
        self.route = route
        self.provider = provider = route.provider
        self.served_model = served_model = route.served_model
        self.attempts = attempts = route.attempts
        fallback = route.fallback_applied
        metadata: tuple[tuple[str, str], ...] = (
            ("x-llmbase-requested-model", self.model),
            ("x-llmbase-served-model", served_model),
            ("x-llmbase-provider", provider),
            ("x-llmbase-attempts", str(attempts)),
            ("x-llmbase-fallback-applied", "true" if fallback else "false"),
        )
        if self.replayed:
            metadata += (("x-llmbase-idempotent-replay", "true"),)
        if fallback:
            metadata += (
                ("x-llmbase-fallback-reason", route.fallback_reason),
                ("x-llmbase-fallback-chain", ",".join(route.fallback_chain)),
            )
        return metadata + self.headers

    def trailing_metadata(self) -> tuple[tuple[str, bytes], ...]:
        """Return what is told after the answer: how it was routed."""
        if self.route is None and not self.trace.candidates:  # what was answered had some
            return ()
        return ((_TRACE_KEY, self.trace.SerializeToString()),)

    def line(self, seconds: float) -> dict[str, object]:
        """Return what the log says of the call, which took so long."""
        line: dict[str, object] = {
            "request_id": self.call.request_id,
            "method": self.method,
            "key": self.caller.name,
            "model": self.model,
            "outcome": self.outcome,
            # To a whole number: rounding to digits makes a text and reads it again.
            "ms": round(seconds * 10_000) / 10,
        }
        if self.priority is not USUAL:
            line["priority"] = self.priority.value
        if (holding := self.holding) is not None:
            queued = holding.entered - self.started
            if queued > _NOTICED:
                line["queued_ms"] = round(queued * 10_000) / 10
        if self.replayed:
            line["replayed"] = True
        if self.route is not None:
            line["provider"] = self.provider
            line["served_model"] = self.served_model
            line["attempts"] = self.attempts
        if (usage := self.usage) is not None:
            line["prompt_tokens"] = usage.prompt_tokens
            line["completion_tokens"] = usage.completion_tokens
            line["usage_estimated"] = usage.estimated
        return line
