"""Before all handlers: every request gets an id, an answer in our form and a line in the log."""

from __future__ import annotations

import logging
from collections.abc import Callable

from aiohttp import HttpVersion11, hdrs

from gateway import errors, request_span
from gateway.answer import Answer, lines
from gateway.cors import Cors
from gateway.drain import Drain
from gateway.errors import HttpError
from gateway.exchange import Exchange, sane_request_id
from gateway.routes import Routes
from gateway.transcoding.fields import BadField
from gateway.whole_answer import WholeAnswer
from telemetry import log
from telemetry.metrics import HTTP_REQUESTS, Metrics
from telemetry.tracing import NO_SPAN, NO_TRACER, Tracer

# Logged for a client that went away; nobody is there to be sent it.
CLIENT_GONE = 499
_ALWAYS_OPEN = ("/livez", "/readyz")


class Front:
    """Has `routes` answer. `new_id` makes request ids, `clock` gives seconds.

    The log never sees a body or a key.
    """

    def __init__(
        self,
        routes: Routes,
        drain: Drain,
        cors: Cors,
        log: logging.Logger,
        new_id: Callable[[], str],
        metrics: Metrics,
        clock: Callable[[], float],
        tracer: Tracer = NO_TRACER,
    ) -> None:
        self._routes = routes
        self._tracer = tracer
        self._drain = drain
        self._cors = cors
        self._log = log
        self._new_id = new_id
        self._clock = clock
        self._requests = metrics.of(HTTP_REQUESTS, "route", "code")

    async def handle(self, exchange: Exchange) -> Answer:
        """Answer the request, whatever happens. Only a cancellation passes through."""
        clock, headers = self._clock, exchange.headers
        started_at = clock()
        exchange.request_id = sane_request_id(headers) or self._new_id()
        exchange.lines = f"x-request-id: {exchange.request_id}\r\nServer: llmbase\r\n"
        if self._cors.enabled:
            exchange.lines += lines(self._cors.headers(exchange))
        exchange.error_code, exchange.fault, exchange.client_gone = None, None, False
        route = self._routes.find(exchange)
        exchange.span = NO_SPAN
        if self._tracer is not NO_TRACER and exchange.path not in _ALWAYS_OPEN:
            exchange.span = request_span.begin(self._tracer, exchange, route.path)
        status = CLIENT_GONE
        try:
            try:
                if headers.get(hdrs.EXPECT):
                    await route.expect(exchange)
                answer = self._without_handler(exchange) or await route.handler(exchange)
            except Exception as error:
                answer = _explanation(error, exchange)
            if self._drain.closing:
                answer.force_close()  # so that clients which keep connections go elsewhere
            if not exchange.client_gone:
                status = answer.status
            return answer
        finally:
            if exchange.span.recording:
                request_span.finish(exchange, status)
            if exchange.fault is not None:
                self._report(exchange, exchange.fault)
            self._tell(exchange, route.path, status, clock() - started_at)

    def _without_handler(self, exchange: Exchange) -> Answer | None:
        """Return what the request is answered before its handler is asked. Raises HttpError."""
        if exchange.version > HttpVersion11:
            raise errors.invalid_request("The door speaks HTTP/1.1.", close=True)
        if exchange.method == hdrs.METH_OPTIONS and (said := self._cors.preflight(exchange)):
            return said
        if self._drain.draining and exchange.path not in _ALWAYS_OPEN:
            raise self._drain.refusal()
        return None

    def _report(self, exchange: Exchange, fault: Exception) -> None:
        """Log a fault of our own: its type and place, for its text may hold what a caller sent."""
        extra = {
            "request_id": exchange.request_id,
            "fault": type(fault).__name__,
            "at": log.places(fault.__traceback__),
        }
        self._log.error("fault", extra=extra)

    def _tell(self, exchange: Exchange, route: str, status: int, seconds: float) -> None:
        """Count the request, and write its line; a stream's error comes after its status.

        `route` is named, not the path: what a caller writes there is the caller's.
        """
        self._requests[route, str(status)].number += 1
        outcome = "CANCELLED" if status == CLIENT_GONE else exchange.error_code or "OK"
        fields = {
            "request_id": exchange.request_id,
            "method": exchange.method,
            "route": route or None,
            "status": status,
            # To a whole number: rounding to digits makes a text and reads it again.
            "ms": round(seconds * 100_000) / 100,
            "outcome": outcome,
        }
        log.write(self._log, "request", fields)


def _explanation(error: Exception, exchange: Exchange) -> Answer:
    """Return what is answered where there is no answer."""
    if isinstance(error, ConnectionError):
        exchange.client_gone = True
        return WholeAnswer(exchange, b"", CLIENT_GONE)
    if isinstance(error, BadField):
        error = errors.bad_field(error)
    elif not isinstance(error, HttpError):
        exchange.fault = error
        error = errors.internal_error()
    exchange.error_code = error.code or error.type
    answer = WholeAnswer(exchange, error.body(), error.status, lines(error.headers))
    if error.close:
        answer.force_close()
    return answer
