"""The RPCs that are open: what each brings along, how it ends, and one log line for it."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import re
import secrets
import types
from collections.abc import AsyncIterator, Awaitable, Callable, Generator, Mapping
from typing import Any, NoReturn

import grpc
from llmbase.v1.chat_completion_pb2 import ChatCompletionRequest, RouteFacts, Usage
from llmbase.v1.routing_pb2 import RouteTrace

from service.accounts.caller import Caller
from service.admission import priority
from service.admission.priority import Priority
from service.errors import Error, InternalError, ModelNotAllowed, ServiceUnavailable
from service.providers.call import Call
from service.routing import capability
from service.rpc import rpc_span, status, validation
from service.rpc.content import Content
from service.rpc.current import Current, Generation
from service.rpc.desk import Desk, Holding
from service.rpc.identity import peer_uris
from service.rpc.timing import Times, Timing
from telemetry import log, trace_context
from telemetry.metrics import ACTIVE_STREAMS, CALLS, MODEL_CALLS, Metrics
from telemetry.trace_context import TRACEPARENT, TRACESTATE, TraceContext
from telemetry.tracing import NO_TRACER, Span, Tracer
from wire.cohort import Cohort

_LOG = logging.getLogger("llmbase.rpc")
_SANE_ID = re.compile(r"[A-Za-z0-9._:-]{1,128}")
_TRACE_KEY = "llmbase-route-trace-bin"
_STREAM = "StreamChatCompletion"
_CHATS = frozenset({"CreateChatCompletion", _STREAM})
_NOTICED = 0.01  # seconds before it was admitted that are worth a word in a call's log line
_DRAIN_RETRY_AFTER = 1.0  # seconds: another replica is ready by then

Context = grpc.aio.ServicerContext[Any, Any]


class OpenCall:
    """One RPC from its metadata to its log line, and the generation that answers it."""

    model = ""
    single_flight = False  # whether its model answers calls that are alike once
    route: RouteFacts | None = None
    usage: Usage | None = None
    holding: Holding | None = None  # since it was admitted
    headers: tuple[tuple[str, str], ...] = ()  # what is left of its limits
    content: Content | None = None  # unless the call's span is to have none
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
        self.timing = Timing(started)
        self.trace = RouteTrace()

    @property
    def replayed(self) -> bool:
        """Whether another call's answer was there for it."""
        return self.timing.borrowed

    def check(self, request: ChatCompletionRequest) -> None:
        """Check a request before anything is done for it.

        Raises InvalidRequest, ModelNotFound, ModelNotAllowed, UnsupportedCapability.
        """
        self.call.seen = seen = validation.check(request)
        self.model = asked = request.model
        model = self.generation.router.model(asked)
        self.single_flight = model.single_flight
        if self.call.span.recording:
            rpc_span.asked(self.call.span, request)
        if self.content is not None:
            self.content.asked(request)
        if not self.caller.may_use(asked):
            raise ModelNotAllowed(f"The API key may not use the model {asked}.")
        capability.check(request, asked, model, seen)

    def trailing_metadata(self) -> tuple[tuple[str, bytes], ...]:
        """Return what is told after the answer: how it was routed."""
        if not self.trace.candidates:
            return ()
        return ((_TRACE_KEY, self.trace.SerializeToString()),)


class Calls:
    """Opens, admits, ends and counts RPCs of the running loop. `clock` gives monotonic seconds."""

    def __init__(
        self,
        current: Current,
        clock: Callable[[], float],
        metrics: Metrics,
        desk: Desk,
        tracer: Tracer = NO_TRACER,
    ) -> None:
        self._current = current
        self._tracer = tracer
        self._desk = desk
        self._clock = clock
        self._ended = metrics.of(CALLS, "method", "reason")
        self._ended_of_model = metrics.of(MODEL_CALLS, "model", "reason")
        self._times = Times(metrics)
        self._open: set[OpenCall] = set()
        self._idle: asyncio.Event | None = None  # while somebody waits for that
        self._refusing = False
        self._loop = asyncio.get_running_loop()
        self._cohort = Cohort()
        metrics.follow(ACTIVE_STREAMS, lambda: {(): self._streams()})

    async def open(self, method: str, context: Context) -> OpenCall:
        """Authenticate, and start the caller's deadline.

        Raises MissingApiKey, InvalidApiKey, InvalidRequest (a priority that is none),
        ServiceUnavailable (while draining, or when the key is not known and the store is away).
        """
        self._cohort.arrive()
        metadata = _texts(context)
        trace = trace_context.parse(metadata.get(TRACEPARENT), metadata.get(TRACESTATE))
        span = rpc_span.begin(self._tracer, method, trace)
        generation = self._current.generation
        generation.hold()  # now: while a key is looked up it may be replaced
        try:
            caller = await _caller(generation, metadata, context)
            self._let_in()  # now, not before: looking a key up can take a while
            urgency = priority.from_text(metadata.get(priority.HEADER))
            call = self._call(metadata, context.time_remaining(), caller, trace, span)
            opened = OpenCall(method, call, caller, self._clock(), generation, urgency)
            if span.content:
                key = metadata.get("authorization", "").removeprefix("Bearer ")
                opened.content = Content(span, (key, *generation.secrets))
        except BaseException as error:
            generation.let_go()
            rpc_span.refused(span, error)
            raise
        self._open.add(opened)
        return opened

    @types.coroutine
    def side_by_side(self, opened: OpenCall) -> Generator[None, None, None]:
        """Let the RPCs that came in the same turn come as far. What that takes is not its own."""
        if self._cohort.several:
            began = self._clock()
            yield
            opened.call.waited += self._clock() - began

    async def admit(
        self, opened: OpenCall, request: ChatCompletionRequest, *, pays: bool
    ) -> Holding:
        """Take what the RPC needs to be worked on, until it is closed. Raises as the desk does."""
        self._let_in()
        payer = opened.generation if pays else None
        opened.holding = holding = await self._desk.take(
            opened.caller, opened.priority, opened.call, request, payer
        )
        opened.headers = holding.headers
        return holding

    @contextlib.asynccontextmanager
    async def detached(
        self, opened: OpenCall, request: ChatCompletionRequest
    ) -> AsyncIterator[tuple[Call, Holding]]:
        """Give a call, with the generation and what it needs, for work that may outlive the RPC.

        Raises as `admit` does.
        """
        self._let_in()
        opened.generation.hold()
        call = opened.call.detach()
        holding: Holding | None = None
        try:
            holding = await self._desk.take(
                opened.caller, opened.priority, call, request, opened.generation
            )
            opened.headers = holding.headers
            yield call, holding
        finally:
            if holding is not None:
                holding.close()
            call.close()
            opened.generation.let_go()

    async def visit(self, context: Context) -> tuple[Generation, Caller | None]:
        """Return what answers an RPC that only looks, and who calls: None where all may look.

        Nothing is held, so it is not to wait for anything. Raises as `known` does.
        """
        generation = self._current.generation
        if generation.public_models:
            return generation, None
        return generation, await _caller(generation, _texts(context), context)

    async def known(self, context: Context) -> Caller:
        """Return who calls. Raises MissingApiKey, InvalidApiKey, ServiceUnavailable."""
        return await _caller(self._current.generation, _texts(context), context)

    def close(self, opened: OpenCall) -> None:
        """Forget the RPC, count it and log how it went."""
        opened.closed = True
        if opened.holding is not None:
            opened.holding.close()
        self._open.discard(opened)
        if self._idle is not None and not self._open:
            self._idle.set()
            self._idle = None
        call, method, model, outcome = opened.call, opened.method, opened.model, opened.outcome
        call.close()
        opened.generation.let_go()
        self._ended[method, outcome].count()
        if call.span.recording:
            rpc_span.finish(opened)
        now = self._clock()
        if model and method in _CHATS:
            self._ended_of_model[model, outcome].count()
            whole = outcome == "OK"
            opened.timing.tell(self._times, method, model, call.waited, now, whole=whole)
        log.write(_LOG, "call", _line(opened, now - opened.started))

    def count(self, method: str, reason: str) -> None:
        """Count an RPC that has ended: OK, CANCELLED or the reason of its error."""
        self._ended[method, reason].count()

    async def abort(
        self, context: Context, error: Exception, method: str, opened: OpenCall | None
    ) -> NoReturn:
        """End the RPC with the status of `error`; what is not one of ours is a fault of ours.

        An RPC that was never opened is counted here, one that was when it is closed.
        """
        if isinstance(error, grpc.aio.BaseError):
            # The caller left while something was being written: a cancellation by another name.
            if opened is not None:
                opened.outcome = "CANCELLED"
            raise asyncio.CancelledError from None
        if not isinstance(error, Error):
            _LOG.error("fault", exc_info=error)
            error = InternalError("Something went wrong on our side.")
        said = status.from_error(error)
        if opened is not None:
            opened.outcome, opened.code = said.reason, said.code.name
        else:
            self.count(method, said.reason)
            _LOG.info("refused", extra={"method": method, "reason": said.reason})
        trace = () if opened is None else opened.trailing_metadata()
        await context.abort(said.code, said.message, (*said.trailing_metadata, *trace))

    def _call(
        self,
        metadata: Mapping[str, str],
        seconds: float | None,
        caller: Caller,
        trace: TraceContext | None,
        span: Span,
    ) -> Call:
        """Return the call that a caller asks for."""
        request_id = metadata.get("x-request-id")
        if request_id is None or not _SANE_ID.fullmatch(request_id):
            request_id = secrets.token_hex(16)
        fallback = metadata.get("x-llmbase-fallback")
        forbidden = fallback is not None and fallback.lower() == "off"
        return Call(
            request_id,
            seconds=seconds,
            may_serve=_never if forbidden else caller.may_use,
            fallback=not forbidden,
            trace=trace if span.context is None else span.context,
            span=span,
            loop=self._loop,
        )

    def _streams(self) -> int:
        return sum(opened.method == _STREAM for opened in self._open)

    def answered(self, opened: OpenCall) -> None:
        """The first content, or the whole answer, is there."""
        opened.timing.first = self._clock()

    async def ended(self) -> None:
        """Return when no RPC is open."""
        if self._open:
            self._idle = self._idle or asyncio.Event()
            await self._idle.wait()

    def refuse(self) -> None:
        """Refuse every new RPC from now on, and those that still wait to be admitted."""
        self._refusing = True
        self._desk.dismiss(_shutting_down)

    def _let_in(self) -> None:
        """Raise ServiceUnavailable for an RPC that has not begun when the process drains."""
        if self._refusing:
            raise _shutting_down()

    def cut(self) -> None:
        """End every open RPC: the time to drain is over."""
        for opened in tuple(self._open):
            opened.call.wait.end(_shutting_down())


def _shutting_down() -> ServiceUnavailable:
    return ServiceUnavailable(
        "The server is shutting down. Retry the request.", retry_after=_DRAIN_RETRY_AFTER
    )


def _texts(context: Context) -> Mapping[str, str]:
    """Return the request's metadata; of a repeated key the last. What we know of it is text."""
    entries: Any = context.invocation_metadata() or ()
    return dict(entries)


def _caller(
    generation: Generation, texts: Mapping[str, str], context: Context
) -> Awaitable[Caller]:
    """Return who calls; the certificate is looked at only where no key was sent."""
    authorization = texts.get("authorization")
    uris = () if authorization else peer_uris(context)
    return generation.authenticator.caller(authorization, uris)


def _never(model_id: str) -> bool:
    return False


def _line(opened: OpenCall, seconds: float) -> dict[str, object]:
    line: dict[str, object] = {
        "request_id": opened.call.request_id,
        "method": opened.method,
        "key": opened.caller.name,
        "model": opened.model,
        "outcome": opened.outcome,
        "ms": round(seconds * 1000, 1),
    }
    if opened.priority is not Priority.INTERACTIVE:
        line["priority"] = opened.priority.value
    if (holding := opened.holding) is not None:
        queued = holding.entered - opened.started
        if queued > _NOTICED:
            line["queued_ms"] = round(queued * 1000, 1)
    if opened.timing.borrowed:
        line["replayed"] = True
    if (route := opened.route) is not None:
        line["provider"] = route.provider
        line["served_model"] = route.served_model
        line["attempts"] = route.attempts
    if (usage := opened.usage) is not None:
        line["prompt_tokens"] = usage.prompt_tokens
        line["completion_tokens"] = usage.completion_tokens
        line["usage_estimated"] = usage.estimated
    return line
