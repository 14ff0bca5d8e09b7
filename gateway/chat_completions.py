"""POST /v1/chat/completions: JSON in, one RPC, JSON or server-sent events out. No opinions."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import TYPE_CHECKING

import grpc
from aiohttp import hdrs
from llmbase.v1.chat_completion_pb2 import ChatCompletionChunk, ChatCompletionRequest
from multidict import istr

from gateway.answer import Answer, lines
from gateway.drain import Drain
from gateway.errors import (
    HttpError,
    from_rpc,
    internal_error,
    invalid_request,
    upstream_truncated,
)
from gateway.event_stream import EventStream
from gateway.exchange import Exchange, metadata, route_lines, timeout
from gateway.limit_headers import limit_headers
from gateway.request_body import BodyReader
from gateway.transcoding.answers import completion_to_json
from gateway.transcoding.chunks import StreamRenderer, error_event
from gateway.transcoding.numbered import EventId, NumberedRenderer
from gateway.transcoding.request import request_from_json
from gateway.whole_answer import WholeAnswer
from telemetry.metrics import HTTP_OVERHEAD, Metrics, count_ignored
from wire.cohort import Cohort
from wire.leftovers import LEFTOVERS

if TYPE_CHECKING:
    from grpc.aio import UnaryStreamCall
    from llmbase.v1.chat_completion_pb2_grpc import ChatCompletionServiceAsyncStub

Renderer = StreamRenderer | NumberedRenderer

_IDEMPOTENCY_KEY = istr("Idempotency-Key")

_WHOLE, _STREAM = ("whole",), ("stream",)  # the forms of answers


class ChatCompletions:
    """The handler. `keepalive`: seconds of silence in a stream before a comment is sent."""

    def __init__(
        self,
        stub: ChatCompletionServiceAsyncStub,
        bodies: BodyReader,
        drain: Drain,
        keepalive: float,
        metrics: Metrics,
        clock: Callable[[], float] = time.perf_counter,  # the loop's ticks in milliseconds
    ) -> None:
        self._stub = stub
        self._bodies = bodies
        self._drain = drain
        self._keepalive = keepalive
        self._metrics = metrics
        self._overhead = metrics.of(HTTP_OVERHEAD, "form")
        self._clock = clock
        self._cohort = Cohort()
        self.streams = 0  # that are open

    async def create(self, exchange: Exchange) -> Answer:
        """Answer one chat. Raises HttpError until the first byte is out, or BadField."""
        self._cohort.arrive()
        seconds = timeout(exchange)
        body = self._bodies.at_hand(exchange)
        if body is None:
            body = await self._bodies.rest(exchange)
        clock = self._clock
        exchange.own_since = clock()
        asked, options, ignored = request_from_json(body)
        exchange.model = asked.model
        if ignored:
            count_ignored(self._metrics, ignored)
        size = len(body)
        del body  # it can be megabytes of an image, and the answer minutes
        LEFTOVERS.give_back(size)
        seen = _repeats(exchange, asked, streamed=options.stream)
        if self._cohort.several:
            waits = clock()
            await self._cohort.stage()
            exchange.own_since += clock() - waits
        if options.stream:
            renderer: Renderer = StreamRenderer(options.include_usage)
            if asked.idempotency_key:
                renderer = NumberedRenderer(options.include_usage, seen)
            self.streams += 1
            try:
                return await self._stream(exchange, asked, ignored, seconds, renderer)
            finally:
                self.streams -= 1
        with self._drain:
            call = self._stub.CreateChatCompletion(
                asked, metadata=metadata(exchange), timeout=seconds
            )
            try:
                waits = clock()
                completion = await call
                if self._cohort.several:
                    await self._cohort.stage()
                exchange.own_since += clock() - waits
                left = lines(limit_headers(await call.initial_metadata()))
            except grpc.aio.AioRpcError as error:
                raise from_rpc(error) from None
            finally:
                call.cancel()
        answer = WholeAnswer(exchange, completion_to_json(completion))
        exchange.lines += left
        exchange.route_lines = route_lines(completion.route, ignored)
        self._overhead[_WHOLE].observe(clock() - exchange.own_since)
        return answer

    async def _stream(
        self,
        exchange: Exchange,
        asked: ChatCompletionRequest,
        ignored: tuple[str, ...],
        seconds: float | None,
        renderer: Renderer,
    ) -> EventStream:
        stream = EventStream(exchange, self._keepalive)
        if self._drain.closing:
            stream.force_close()
        try:
            try:
                with self._drain:
                    call = self._stub.StreamChatCompletion(
                        asked, metadata=metadata(exchange), timeout=seconds
                    )
                    await self._pass_on(exchange, call, ignored, renderer, stream)
            except ConnectionError:
                raise
            except Exception as error:
                await stream.settle()
                if not stream.started:
                    raise  # while it can still be an HTTP error
                await _tell(error, stream, exchange)
            await stream.write_eof()
        except ConnectionError:
            exchange.client_gone = True
            stream.force_close()
        finally:
            stream.close()
        return stream

    async def _pass_on(
        self,
        exchange: Exchange,
        call: UnaryStreamCall[ChatCompletionRequest, ChatCompletionChunk],
        ignored: tuple[str, ...],
        renderer: Renderer,
        stream: EventStream,
    ) -> None:
        """Send the client all that the call brings. Raises HttpError unless it is complete."""
        first, complete, waits = True, False, self._clock()
        try:
            async for chunk in call:
                if first:
                    exchange.own_since += self._clock() - waits
                    exchange.lines += lines(limit_headers(await call.initial_metadata()))
                    exchange.route_lines = route_lines(chunk.route, ignored)
                    await stream.start()
                complete = chunk.last
                if events := renderer.render(chunk):
                    await stream.send(events)
                if first:
                    self._overhead[_STREAM].observe(self._clock() - exchange.own_since)
                    first = False
            if not complete:
                raise upstream_truncated()
        except grpc.aio.AioRpcError as error:
            # After the last chunk the client has its [DONE]: there is nobody left to tell.
            if not complete:
                raise from_rpc(error) from None
        finally:
            call.cancel()  # the client may be gone, in any phase; afterwards this does nothing


def _repeats(exchange: Exchange, asked: ChatCompletionRequest, *, streamed: bool) -> EventId | None:
    """Take over the headers that let a call be repeated. Returns the last event that was seen.

    Raises HttpError.
    """
    headers = exchange.headers
    key = headers.get(_IDEMPOTENCY_KEY)
    if key is not None:
        if not (key and key.isascii() and key.isprintable()):
            message = "Idempotency-Key: must be 1 to 255 visible ASCII characters"
            raise invalid_request(message, "Idempotency-Key")
        asked.idempotency_key = key
    last = headers.get(hdrs.LAST_EVENT_ID)
    if last is None:
        return None
    seen = EventId.parse(last)
    if seen is None or key is None or not streamed:
        message = "Last-Event-ID: must be the id of an event, with its stream's Idempotency-Key"
        raise invalid_request(message, "Last-Event-ID")
    asked.last_chunk_sequence = seen.sequence - 1
    return seen


async def _tell(error: Exception, stream: EventStream, exchange: Exchange) -> None:
    """Say in an event what went wrong."""
    if not isinstance(error, HttpError):
        exchange.fault = error
        error = internal_error()
    exchange.error_code = error.code
    await stream.send(error_event(error.body()))
