"""What is known of one HTTP request while it is answered: its id, its headers both ways.

Names and values that come from callers or from the service are made safe for headers here.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from functools import lru_cache
from urllib.parse import quote

from aiohttp import web
from llmbase.v1.chat_completion_pb2 import RouteFacts
from multidict import CIMultiDictProxy, istr

from gateway.errors import invalid_request
from telemetry.trace_context import TRACEPARENT, TRACESTATE, TraceContext, parse
from telemetry.tracing import Span

_SANE_ID = re.compile(r"[A-Za-z0-9._:-]{1,128}")
_SECONDS = re.compile(r"[0-9]{1,6}(\.[0-9]{1,6})?")

# A header that goes on to the service, and its name in gRPC metadata.
_FORWARDED = {
    istr("Authorization"): "authorization",
    istr("Traceparent"): TRACEPARENT,
    istr("Tracestate"): TRACESTATE,
    istr("X-LLMBase-Fallback"): "x-llmbase-fallback",
    istr("X-LLMBase-Priority"): "x-llmbase-priority",
}
_REQUEST_ID = istr("X-Request-Id")
_REQUEST_TIMEOUT = istr("X-Request-Timeout")
_TRACE = (TRACEPARENT, TRACESTATE)
# No key is longer; gRPC allows 8 KiB for all metadata together.
_LONGEST_FORWARDED = 2048
_LONGEST_HEADER = 256
_MOST_IGNORED = 32

Metadata = tuple[tuple[str, str], ...]


class Exchange(web.BaseRequest):
    """One request, and what its answer's headers and log lines will say.

    The front tells it what has no value here. `lines` are those of its answer's head, and
    `route_lines` what they say of the way to the answer: all that is in them must be fit for a
    head.
    """

    request_id: str
    lines: str
    route_lines = ""
    model = ""  # that a chat asks for: told where there is no way to tell of
    span: Span
    rest = ""  # of a path that is open at its end
    # When a chat would have begun to take of the door itself, had it never waited: that is from
    # its body until it is a call, and from its answer's first part until that is written.
    own_since: float
    error_code: str | None
    fault: Exception | None  # one of our own, to be logged
    client_gone: bool


def waits_with_body(request: web.BaseRequest) -> bool:
    """Whether a request that has an `Expect` expects to be told to send its body."""
    return request.headers["Expect"].lower() == "100-continue"


async def say_continue(request: web.BaseRequest) -> None:
    """Tell the client to send its body."""
    await request.writer.write(b"HTTP/1.1 100 Continue\r\n\r\n")
    request.writer.output_size = 0  # the answer itself has not begun


def sane_request_id(headers: Mapping[str, str]) -> str | None:
    """Return the caller's own request id, if it is one that can be repeated anywhere."""
    given = headers.get(_REQUEST_ID)
    return given if given is not None and _SANE_ID.fullmatch(given) else None


def trace_context(headers: CIMultiDictProxy[str]) -> TraceContext | None:
    """Return the trace that the caller says the request belongs to. A `traceparent` is one."""
    parents = headers.getall("Traceparent", [])
    if len(parents) != 1:
        return None
    return parse(parents[0], ",".join(headers.getall("Tracestate", [])))


def metadata(exchange: Exchange) -> Metadata:
    """Return what the service is told beside the message. The gateway decides nothing about it."""
    entries = [("x-request-id", exchange.request_id)]
    context = exchange.span.context
    if context is not None:
        entries.extend(context.entries())
    given = exchange.headers
    for header, key in _FORWARDED.items():
        if header in given and (context is None or key not in _TRACE):
            entries.append((key, _ascii(",".join(given.getall(header)))))
    return tuple(entries)


def timeout(exchange: Exchange) -> float | None:
    """Return the caller's deadline in seconds from now, if it set one. Raises HttpError."""
    given = exchange.headers.get(_REQUEST_TIMEOUT)
    if given is None:
        return None
    seconds = float(given) if _SECONDS.fullmatch(given) else 0.0
    if not seconds:
        message = "X-Request-Timeout: must be a number of seconds above 0, for example 30 or 2.5"
        raise invalid_request(message, "X-Request-Timeout")
    return seconds


def route_lines(route: RouteFacts, ignored: tuple[str, ...]) -> str:
    """Return the lines that say how an answer came about; `ignored` names fields left out."""
    # What a caller has written is not kept; the ways that there are come again and again.
    return _lines(route, ignored) if ignored else _known_lines(route.SerializeToString())


@lru_cache(256)
def _known_lines(route: bytes) -> str:
    return _lines(RouteFacts.FromString(route), ())


def _lines(route: RouteFacts, ignored: tuple[str, ...]) -> str:
    lines = (
        f"{requested_line(route.requested_model)}"
        f"x-llmbase-served-model: {header_value(route.served_model)}\r\n"
        f"x-llmbase-fallback-applied: {'true' if route.fallback_applied else 'false'}\r\n"
        f"x-llmbase-provider: {header_value(route.provider)}\r\n"
        f"x-llmbase-attempts: {route.attempts}\r\n"
    )
    if route.replayed:
        lines += "x-llmbase-idempotent-replay: true\r\n"
    if route.fallback_applied:
        chain = ",".join(map(header_value, route.fallback_chain))
        lines += (
            f"x-llmbase-fallback-reason: {header_value(route.fallback_reason)}\r\n"
            f"x-llmbase-fallback-chain: {chain}\r\n"
        )
    left_out = route.ignored_parameters
    if ignored or left_out:
        names = list(dict.fromkeys((*ignored, *left_out)))
        shown = [quote(name[:64], safe="[]") for name in names[:_MOST_IGNORED]]
        more = [] if len(names) <= _MOST_IGNORED else ["..."]
        lines += f"x-llmbase-ignored-parameters: {','.join(shown + more)}\r\n"
    return lines


def requested_line(model: str) -> str:
    """Return the line that says what was asked for."""
    return f"x-llmbase-requested-model: {header_value(model)}\r\n"


def header_value(text: str) -> str:
    """Return the text if it is plain ASCII, else percent-encoded: a header holds nothing else."""
    if text.isascii() and text.isprintable() and len(text) <= _LONGEST_HEADER:
        return text
    return quote(text[:_LONGEST_HEADER], safe="/:@")


def _ascii(value: str) -> str:
    """Return the value as gRPC metadata can carry it. What is changed here was no valid value."""
    plain = value[:_LONGEST_FORWARDED]
    if plain.isascii() and plain.isprintable():
        return plain
    return "".join(c if " " <= c <= "~" else "?" for c in plain)
