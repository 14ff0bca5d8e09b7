"""The RPCs that are open: how each begins and ends, and what is counted and logged of it."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import re
import secrets
from collections.abc import AsyncIterator, Callable, Coroutine, Mapping, Sequence
from typing import Any, NoReturn

import grpc
from llmbase.v1.chat_completion_pb2 import ChatCompletionRequest

from service.accounts.caller import Caller
from service.admission import priority
from service.errors import Error, InternalError, ServiceUnavailable
from service.providers.call import Call
from service.rpc import rpc_span, status
from service.rpc.content import Content
from service.rpc.current import Current, Generation
from service.rpc.desk import Desk, Holding
from service.rpc.identity import peer_uris
from service.rpc.open_call import OpenCall
from service.rpc.timing import Times
from telemetry import log, trace_context
from telemetry.metrics import ACTIVE_STREAMS, CALLS, MODEL_CALLS, Metrics
from telemetry.trace_context import TRACEPARENT, TRACESTATE, TraceContext
from telemetry.tracing import NO_SPAN, NO_TRACER, Span, Tracer
from wire.cohort import Cohort

_LOG = logging.getLogger("llmbase.rpc")
_SANE_ID = re.compile(r"[A-Za-z0-9._:-]{1,128}")
_STREAM = "StreamChatCompletion"
_CHATS = frozenset({"CreateChatCompletion", _STREAM})
_DRAIN_RETRY_AFTER = 1.0  # seconds: another replica is ready by then

Context = grpc.aio.ServicerContext[Any, Any]


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
        self.clock = clock
        self._ended = metrics.of(CALLS, "method", "reason")
        self._ended_of_model = metrics.of(MODEL_CALLS, "model", "reason")
        self._times = Times(metrics)
        self._open: set[OpenCall] = set()
        self._idle: asyncio.Event | None = None  # while somebody waits for that
        self._refusing = False
        self._loop = asyncio.get_running_loop()
        self.cohort = Cohort()
        metrics.follow(ACTIVE_STREAMS, lambda: {(): self._streams()})

    async def open(self, method: str, context: Context) -> OpenCall:
        """Authenticate, and start the caller's deadline.

        Raises MissingApiKey, InvalidApiKey, InvalidRequest (a priority that is none),
        ServiceUnavailable (while draining, or when the key is not known and the store is away).
        """
        self.cohort.arrive()
        metadata = _texts(context)
        parent = metadata.get(TRACEPARENT)
        trace = trace_context.parse(parent, metadata.get(TRACESTATE)) if parent else None
        tracer = self._tracer
        span = NO_SPAN if tracer is NO_TRACER else rpc_span.begin(tracer, method, trace)
        generation = self._current.generation
        generation.hold()  # now: while a key is looked up it may be replaced
        try:
            caller = generation.authenticator.look_up(*_credentials(metadata, context))
            if not isinstance(caller, Caller):
                caller = await caller
            if self._refusing:  # now, not before: looking a key up can take a while
                raise _shutting_down()
            urgency = priority.from_text(metadata.get(priority.HEADER))
            call = self._call(metadata, context.time_remaining(), caller, trace, span)
            opened = OpenCall(method, call, caller, self.clock(), generation, urgency)
            if span.content:
                key = metadata.get("authorization", "").removeprefix("Bearer ")
                opened.content = Content(span, (key, *generation.secrets))
        except BaseException as error:
            generation.let_go()
            rpc_span.refused(span, error)
            raise
        self._open.add(opened)
        return opened

    async def side_by_side(self, opened: OpenCall) -> None:
        """Let the RPCs of the cohort come as far. What that takes is not the RPC's own."""
        began = self.clock()
        await self.cohort.stage()
        opened.call.waited += self.clock() - began

    def admit(
        self, opened: OpenCall, request: ChatCompletionRequest, pays: Generation | None
    ) -> Coroutine[Any, Any, Holding]:
        """Take what the RPC needs to be worked on: the desk does. Raises as it does."""
        if self._refusing:
            raise _shutting_down()
        return self._desk.take(opened, opened.call, request, pays)

    @contextlib.asynccontextmanager
    async def detached(
        self, opened: OpenCall, request: ChatCompletionRequest
    ) -> AsyncIterator[tuple[Call, Holding]]:
        """Give a call, with the generation and what it needs, for work that may outlive the RPC.

        Raises as `admit` does.
        """
        if self._refusing:
            raise _shutting_down()
        opened.generation.hold()
        call = opened.call.detach()
        holding: Holding | None = None
        try:
            holding = await self._desk.take(opened, call, request, opened.generation)
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
        return generation, await self.known(context)

    async def known(self, context: Context) -> Caller:
        """Return who calls. Raises MissingApiKey, InvalidApiKey, ServiceUnavailable."""
        authenticator = self._current.generation.authenticator
        return await authenticator.caller(*_credentials(_texts(context), context))

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
        self._ended[method, outcome].number += 1
        if call.span.recording:
            rpc_span.finish(opened)
        now = self.clock()
        if model and method in _CHATS:
            self._ended_of_model[model, outcome].number += 1
            self._times.observe(opened, call.waited, now)
        log.write(_LOG, "call", opened.line(now - opened.started))

    def count(self, method: str, reason: str) -> None:
        """Count an RPC that has ended: OK, CANCELLED or the reason of its error."""
        self._ended[method, reason].number += 1

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
            seconds,
            _never if forbidden else caller.may_use,
            not forbidden,
            trace if span.context is None else span.context,
            span,
            self._loop,
        )

    def _streams(self) -> int:
        return sum(opened.method == _STREAM for opened in self._open)

    async def ended(self) -> None:
        """Return when no RPC is open."""
        if self._open:
            self._idle = self._idle or asyncio.Event()
            await self._idle.wait()

    def refuse(self) -> None:
        """Refuse every new RPC from now on, and those that still wait to be admitted."""
        self._refusing = True
        self._desk.dismiss(_shutting_down)

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


def _credentials(texts: Mapping[str, str], context: Context) -> tuple[str | None, Sequence[str]]:
    """Return the key that was sent and, only where none was, the URIs of the certificate."""
    authorization = texts.get("authorization")
    return authorization, () if authorization else peer_uris(context)


def _never(model_id: str) -> bool:
    return False
