"""An answer for an open call: its own, or one that several calls share by key or by likeness."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Coroutine
from typing import Any, Protocol, TypeVar, cast

from llmbase.v1.chat_completion_pb2 import (
    ChatCompletion,
    ChatCompletionChunk,
    ChatCompletionRequest,
    RouteFacts,
    Usage,
)
from llmbase.v1.routing_pb2 import RouteTrace

from service.accounts.metered import MeteredAnswer
from service.errors import Error, InvalidRequest
from service.idempotency.record import Reader, Record
from service.idempotency.store import Scope, Store, fingerprint, not_kept
from service.providers.call import Call
from service.rpc import status
from service.rpc.calls import Calls
from service.rpc.desk import Holding
from service.rpc.open_call import OpenCall
from telemetry.metrics import REPLAYS, Metrics

Work = Callable[[ChatCompletionRequest, OpenCall, Record], Coroutine[Any, Any, None]]
Message = TypeVar("Message", ChatCompletion, ChatCompletionChunk)

_LOG = logging.getLogger("llmbase.rpc")


class StreamedAnswer(Protocol):
    """Chunks from the first content on; see `routing.answer.Answer`."""

    @property
    def route(self) -> RouteFacts: ...  # noqa: D102

    @property
    def usage(self) -> Usage | None: ...  # noqa: D102

    async def read(self) -> ChatCompletionChunk | None: ...  # noqa: D102

    def close(self) -> None: ...  # noqa: D102


class Answers:
    """Asks the dispatcher, unless the store has the answer, or is about to."""

    def __init__(self, calls: Calls, store: Store, metrics: Metrics) -> None:
        self._calls = calls
        self._store = store
        self._metrics = metrics

    async def complete(
        self, request: ChatCompletionRequest, opened: OpenCall
    ) -> tuple[ChatCompletion, RouteFacts]:
        """Return a whole answer, and its route: the one that it says itself.

        Raises what the dispatcher does, and what the store does.
        """
        if opened.shares:
            return await self._shared_whole(request, opened)
        opened.holding = holding = await self._calls.admit(opened, request, opened.generation)
        trace = opened.trace
        try:
            completion = await opened.generation.dispatcher.complete(request, opened.call, trace)
        except BaseException as error:
            holding.fail(error, trace)
            raise
        opened.usage, route = completion.usage, completion.route
        holding.settle(opened.usage, route, trace)
        return completion, route

    async def stream(self, request: ChatCompletionRequest, opened: OpenCall) -> StreamedAnswer:
        """Return an answer whose first content has arrived. Raises as `complete` does."""
        if opened.shares:
            return await self._shared(request, opened, self._stream)
        opened.holding = holding = await self._calls.admit(opened, request, opened.generation)
        return await _streamed(request, opened, opened.call, opened.trace, holding)

    async def _shared_whole(
        self, request: ChatCompletionRequest, opened: OpenCall
    ) -> tuple[ChatCompletion, RouteFacts]:
        """Return a whole answer that other calls may have, too."""
        if request.HasField("last_chunk_sequence"):  # it needs a key, so it comes here
            raise InvalidRequest("last_chunk_sequence", "is for streams")
        shared = await self._shared(request, opened, self._complete)
        try:
            item = await shared.reader.read(opened.call.wait)
        finally:
            shared.close()
        opened.usage = shared.usage
        return _with_route(cast("ChatCompletion", item), shared.route), shared.route

    async def _shared(
        self, request: ChatCompletionRequest, opened: OpenCall, work: Work
    ) -> _SharedAnswer:
        """Begin an answer, or join the one there is."""
        opened.own = False
        scope = _scope(request, opened)
        mark = scope.fingerprint or fingerprint(opened.method, request)
        record = self._store.find(scope, mark)
        replayed = record is not None
        if record is None:
            if request.HasField("last_chunk_sequence"):
                raise not_kept()
            record = self._store.begin(scope, mark)
            record.fill(lambda record: work(request, opened, record))
        else:
            self._metrics.count(REPLAYS, kind="kept" if record.complete else "joined")
        reader = record.read(request.last_chunk_sequence)
        try:
            if replayed:
                opened.replayed = True
                opened.call.seen = None  # it encodes nothing
                opened.holding = await self._calls.admit(opened, request, None)
            opened.trace = record.trace
            route = await reader.route(opened.call.wait)
        except BaseException:
            reader.close()
            raise
        return _SharedAnswer(reader, record, route, opened, replayed=replayed)

    async def _complete(
        self, request: ChatCompletionRequest, opened: OpenCall, record: Record
    ) -> None:
        """Fill a record with a whole answer."""
        async with self._calls.detached(opened, request) as (call, holding):
            trace = record.trace
            try:
                completion = await opened.generation.dispatcher.complete(request, call, trace)
            except BaseException as error:
                holding.fail(error, trace)
                _say_if_alone(opened, record, error)
                raise
            record.usage = usage = completion.usage
            holding.settle(usage, completion.route, trace)
            record.opened(completion.route)
            record.add(completion)
            _say_if_alone(opened, record, None)

    async def _stream(
        self, request: ChatCompletionRequest, opened: OpenCall, record: Record
    ) -> None:
        """Fill a record with a stream's chunks."""
        async with self._calls.detached(opened, request) as (call, holding):
            ended: BaseException | None = None
            answer = None
            try:
                answer = await _streamed(request, opened, call, record.trace, holding)
                record.opened(answer.route)
                await record.demand()
                while (chunk := await answer.read()) is not None:
                    chunk.sequence = record.count + 1
                    record.add(chunk)
                    await record.demand()
            except BaseException as error:
                ended = error
                raise
            finally:
                if answer is not None:
                    answer.close()
                    record.usage = answer.usage
                _say_if_alone(opened, record, ended)


class _SharedAnswer:
    """What one caller sees of a record."""

    def __init__(
        self, reader: Reader, record: Record, route: RouteFacts, opened: OpenCall, *, replayed: bool
    ) -> None:
        self.reader = reader
        self._record = record
        self._wait = opened.call.wait
        self._first = replayed
        self._replayed = replayed
        self.route = route
        if replayed:
            self.route = RouteFacts()
            self.route.CopyFrom(route)
            self.route.replayed = True

    @property
    def usage(self) -> Usage | None:
        """What the call has used: nothing, if another call's answer was there."""
        return None if self._replayed else self._record.usage

    async def read(self) -> ChatCompletionChunk | None:
        chunk = cast("ChatCompletionChunk | None", await self.reader.read(self._wait))
        if chunk is not None and self._first:
            self._first = False
            return _with_route(chunk, self.route)
        return chunk

    def close(self) -> None:
        self.reader.close()


async def _streamed(
    request: ChatCompletionRequest,
    opened: OpenCall,
    call: Call,
    trace: RouteTrace,
    holding: Holding,
) -> StreamedAnswer:
    """Return an answer whose first content has arrived, and that is settled when it is closed."""
    try:
        answer = await opened.generation.dispatcher.stream(request, call, trace)
    except BaseException as error:
        holding.fail(error, trace)
        raise
    if holding.charge is None:
        return answer
    return MeteredAnswer(answer, holding.charge, trace, request.n or 1)


def _scope(request: ChatCompletionRequest, opened: OpenCall) -> Scope:
    """Return whose answer it may be."""
    if request.idempotency_key:
        return Scope(opened.caller.key_id, request.idempotency_key)
    return Scope(opened.caller.key_id, "", fingerprint(opened.method, request))


def _with_route(message: Message, route: RouteFacts) -> Message:
    """Return the message with that route; the message itself belongs to all."""
    if message.HasField("route") and message.route == route:
        return message
    copy = type(message)()
    copy.CopyFrom(message)
    copy.route.CopyFrom(route)
    return copy


def _say_if_alone(opened: OpenCall, record: Record, error: BaseException | None) -> None:
    """Log how an answer ended whose caller had left before: the call's own line could not."""
    if not opened.closed:
        return
    outcome = "OK"
    if isinstance(error, Error):
        outcome = status.from_error(error).reason
    elif error is not None:
        outcome = "CANCELLED" if isinstance(error, asyncio.CancelledError) else "INTERNAL_ERROR"
    line: dict[str, object] = {
        "request_id": opened.call.request_id,
        "model": opened.model,
        "outcome": outcome,
    }
    if record.usage is not None:
        line["prompt_tokens"] = record.usage.prompt_tokens
        line["completion_tokens"] = record.usage.completion_tokens
    _LOG.info("answer went on without its caller", extra=line)
