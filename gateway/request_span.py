"""What a span says of one request of the REST door: no path, no header, no body."""

from __future__ import annotations

from aiohttp import hdrs

from gateway.exchange import Exchange, trace_context
from telemetry import spans
from telemetry.spans import Attribute
from telemetry.tracing import Span, Tracer, Value

_CLIENT_GONE = 499  # as the front calls it
_OTHER = "_OTHER"  # the conventions' word for a method that is none
_NAMELESS = "HTTP"  # and for its place in a span's name


def begin(tracer: Tracer, exchange: Exchange, route: str) -> Span:
    """Return the span of a request that has come in; `route` is empty where it leads nowhere."""
    known = exchange.method in hdrs.METH_ALL
    attributes: dict[Attribute, Value] = {spans.HTTP_METHOD: exchange.method if known else _OTHER}
    name = exchange.method if known else _NAMELESS
    if route:
        attributes[spans.HTTP_ROUTE] = route
        name = f"{name} {route}"
    return tracer.serve(name, trace_context(exchange.headers), attributes)


def finish(exchange: Exchange, status: int) -> None:
    """Say how it ended; of a stream that ended with an error, its HTTP status was sent before."""
    span = exchange.span
    span.set(spans.REQUEST_ID, exchange.request_id)
    span.set(spans.HTTP_STATUS, status)
    if exchange.client_gone or status == _CLIENT_GONE:
        span.fail("cancelled", ours=False)
    elif exchange.error_code is not None:
        span.fail(exchange.error_code, ours=status >= 500 or status < 400)
    span.end()
