"""The one middleware: every request gets an id, an answer in our form and one line in the log."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable

from aiohttp import HttpVersion11, web

from gateway import errors, request_span
from gateway.cors import Cors
from gateway.drain import Drain
from gateway.errors import HttpError
from gateway.exchange import EXCHANGE, Exchange, sane_request_id
from gateway.unsupported import unknown_path
from telemetry import log
from telemetry.metrics import HTTP_OVERHEAD, HTTP_REQUESTS, Metrics
from telemetry.tracing import NO_TRACER, Tracer

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]

# Logged for a client that went away; nobody is there to be sent it.
CLIENT_GONE = 499
_ALWAYS_OPEN = ("/livez", "/readyz")


class Front:
    """The middleware. `new_id` makes request ids; the log never sees a body or a key."""

    def __init__(
        self,
        drain: Drain,
        cors: Cors,
        log: logging.Logger,
        new_id: Callable[[], str],
        metrics: Metrics,
        tracer: Tracer = NO_TRACER,
    ) -> None:
        self._tracer = tracer
        self._drain = drain
        self._cors = cors
        self._log = log
        self._new_id = new_id
        self._requests = metrics.of(HTTP_REQUESTS, "route", "code")
        self._overhead = metrics.of(HTTP_OVERHEAD, "form")

    @web.middleware
    async def handle(self, request: web.Request, handler: Handler) -> web.StreamResponse:
        """Answer the request, whatever happens. Only a cancellation passes through."""
        clock = asyncio.get_running_loop().time
        exchange = Exchange(sane_request_id(request.headers) or self._new_id(), clock())
        if self._tracer is not NO_TRACER and request.path not in _ALWAYS_OPEN:
            exchange.span = request_span.begin(self._tracer, request)
        request[EXCHANGE] = exchange
        status = CLIENT_GONE
        try:
            try:
                response = self._without_handler(request) or await handler(request)
            except Exception as error:
                response = _explanation(error, request, exchange)
            if self._drain.closing:
                response.force_close()  # so that clients which keep connections go elsewhere
            if not response.prepared:
                headers = response.headers
                for name, value in exchange.headers.items():
                    headers.setdefault(name, value)
            if not exchange.client_gone:
                status = response.status
            return response
        finally:
            if exchange.span.recording:
                request_span.finish(exchange, status)
            if exchange.fault is not None:
                self._report(exchange, exchange.fault)
            resource = request.match_info.route.resource
            route = resource.canonical if resource is not None else None
            self._count(route, exchange, status)
            self._write_line(request.method, route, exchange, status, clock())

    def _without_handler(self, request: web.Request) -> web.Response | None:
        """Return what the request is answered before its handler is asked. Raises HttpError."""
        if request.version > HttpVersion11:
            raise errors.invalid_request("The door speaks HTTP/1.1.", close=True)
        if (preflight := self._cors.preflight(request)) is not None:
            return preflight
        if self._drain.draining and request.path not in _ALWAYS_OPEN:
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

    def _count(self, route: str | None, exchange: Exchange, status: int) -> None:
        self._requests[route or "", str(status)].count()
        work = exchange.work
        if work is not None and work.done:
            self._overhead[(work.form,)].observe(work.seconds)

    def _write_line(
        self, method: str, route: str | None, exchange: Exchange, status: int, now: float
    ) -> None:
        # The route, not the path: what a caller writes there is the caller's.
        fields = {
            "request_id": exchange.request_id,
            "method": method,
            "route": route,
            "status": status,
            "ms": round((now - exchange.started_at) * 1000, 2),
            "outcome": _outcome(exchange, status),
        }
        log.write(self._log, "request", fields)


def _outcome(exchange: Exchange, status: int) -> str:
    """Return how the request ended: a stream's error comes after its status."""
    if status == CLIENT_GONE:
        return "CANCELLED"
    return exchange.error_code or "OK"


def _explanation(error: Exception, request: web.Request, exchange: Exchange) -> web.Response:
    """Return what is answered where there is no answer."""
    if isinstance(error, HttpError):
        return _response(error, exchange)
    if isinstance(error, web.HTTPException):
        return _routing_response(request, error, exchange)
    if isinstance(error, ConnectionError):
        exchange.client_gone = True
        return web.Response(status=CLIENT_GONE)
    exchange.fault = error
    return _response(errors.internal_error(), exchange)


def _response(error: HttpError, exchange: Exchange) -> web.Response:
    exchange.error_code = error.code or error.type
    response = web.Response(
        status=error.status,
        body=error.body(),
        content_type="application/json",
        headers=error.headers,
    )
    if error.retry_after is not None:
        response.headers["Retry-After"] = str(error.retry_after)
    if error.close:
        response.force_close()
    return response


def _routing_response(
    request: web.Request, error: web.HTTPException, exchange: Exchange
) -> web.Response:
    """Return the router's refusal (and HTTP's other ones) in the envelope."""
    if isinstance(error, web.HTTPMethodNotAllowed):
        allowed = ", ".join(sorted(error.allowed_methods))
        message = f"{request.method} is not allowed here. Allowed: {allowed}"
        response = _response(errors.method_not_allowed(message), exchange)
        response.headers["Allow"] = allowed
        return response
    if isinstance(error, web.HTTPNotFound):
        message = unknown_path(request.method, request.path)
        return _response(errors.unknown_url(message), exchange)
    return _response(errors.http_error(error.status, error.reason), exchange)
