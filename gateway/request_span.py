"""What a span says of one request of the REST door: no path, no header, no body."""

from __future__ import annotations

from aiohttp import hdrs, web

from gateway.exchange import Exchange, trace_context
from telemetry import spans
from telemetry.spans import Attribute
from telemetry.tracing import Span, Tracer, Value

_CLIENT_GONE = 499  # as the front calls it
_OTHER = "_OTHER"  # the conventions' word for a method that is none
_NAMELESS = "HTTP"  # and for its place in a span's name


def begin(tracer: Tracer, request: web.Request) -> Span:
    """Return the span of a request that has come in."""
    known = request.method in hdrs.METH_ALL
    attributes: dict[Attribute, Value] = {spans.HTTP_METHOD: request.method if known else _OTHER}
    name = request.method if known else _NAMELESS
    resource = request.match_info.route.resource
    if resource is not None:
        attributes[spans.HTTP_ROUTE] = resource.canonical
        name = f"{name} {resource.canonical}"
    return tracer.serve(name, trace_context(request.headers), attributes)


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
