"""What is known of one HTTP request while it is answered: its id, its headers both ways.

Names and values that come from callers or from the service are made safe for headers here.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping
from urllib.parse import quote

from aiohttp import web
from llmbase.v1.chat_completion_pb2 import RouteFacts

from gateway.errors import invalid_request

_SANE_ID = re.compile(r"[A-Za-z0-9._:-]{1,128}")
_SECONDS = re.compile(r"[0-9]{1,6}(\.[0-9]{1,6})?")

# A header that goes on to the service, and its name in gRPC metadata.
_FORWARDED = {
    "Authorization": "authorization",
    "Traceparent": "traceparent",
    "X-LLMBase-Fallback": "x-llmbase-fallback",
    "X-LLMBase-Priority": "x-llmbase-priority",
}
# No key is longer; gRPC allows 8 KiB for all metadata together.
_LONGEST_FORWARDED = 2048
_LONGEST_HEADER = 256
_MOST_IGNORED = 32

Metadata = tuple[tuple[str, str], ...]


class Exchange:
    """One request and what its answer's headers and log lines will say."""

    __slots__ = (
        "client_gone",
        "error_code",
        "fault",
        "headers",
        "request_id",
        "started_at",
        "work",
    )

    def __init__(self, request_id: str, started_at: float) -> None:
        self.request_id = request_id
        self.started_at = started_at
        self.headers = {"x-request-id": request_id, "Server": "llmbase"}
        self.error_code: str | None = None
        self.client_gone = False
        self.fault: Exception | None = None  # one of our own, to be logged
        self.work: Work | None = None  # of a chat


class Work:
    """What a chat takes of the door itself: of its body until it is a call, and of its answer's
    first part until that is written. `clock` gives seconds, `form` is the answer's.
    """

    __slots__ = ("_clock", "_since", "done", "form", "seconds")

    def __init__(self, clock: Callable[[], float]) -> None:
        self._clock = clock
        self._since = clock()
        self.seconds = 0.0
        self.form = "whole"
        self.done = False

    def pause(self) -> None:
        """The door waits for the service from now on."""
        self.seconds += self._clock() - self._since

    def go_on(self) -> None:
        """The answer has begun to come."""
        self._since = self._clock()

    def end(self) -> None:
        """The answer, or the first of it, is the client's."""
        self.pause()
        self.done = True


EXCHANGE = web.RequestKey("exchange", Exchange)


def sane_request_id(headers: Mapping[str, str]) -> str | None:
    """Return the caller's own request id, if it is one that can be repeated anywhere."""
    given = headers.get("X-Request-Id", "")
    return given if _SANE_ID.fullmatch(given) else None


def metadata(request: web.Request) -> Metadata:
    """Return what the service is told beside the message. The gateway decides nothing about it."""
    entries = [("x-request-id", request[EXCHANGE].request_id)]
    for header, key in _FORWARDED.items():
        values = request.headers.getall(header, None)
        if values:
            entries.append((key, _ascii(",".join(values))))
    return tuple(entries)


def timeout(request: web.Request) -> float | None:
    """Return the caller's deadline in seconds from now, if it set one. Raises HttpError."""
    given = request.headers.get("X-Request-Timeout")
    if given is None:
        return None
    seconds = float(given) if _SECONDS.fullmatch(given) else 0.0
    if not seconds:
        message = "X-Request-Timeout: must be a number of seconds above 0, for example 30 or 2.5"
        raise invalid_request(message, "X-Request-Timeout")
    return seconds


def route_headers(route: RouteFacts, ignored: Iterable[str]) -> dict[str, str]:
    """Return the headers that say how an answer came about; `ignored` names fields left out."""
    headers = {
        "x-llmbase-requested-model": header_value(route.requested_model),
        "x-llmbase-served-model": header_value(route.served_model),
        "x-llmbase-fallback-applied": "true" if route.fallback_applied else "false",
        "x-llmbase-provider": header_value(route.provider),
        "x-llmbase-attempts": str(route.attempts),
    }
    if route.replayed:
        headers["x-llmbase-idempotent-replay"] = "true"
    if route.fallback_applied:
        headers["x-llmbase-fallback-reason"] = header_value(route.fallback_reason)
        headers["x-llmbase-fallback-chain"] = ",".join(map(header_value, route.fallback_chain))
    names = dict.fromkeys((*ignored, *route.ignored_parameters))
    if names:
        shown = [quote(name[:64], safe="[]") for name in list(names)[:_MOST_IGNORED]]
        more = [] if len(names) <= _MOST_IGNORED else ["..."]
        headers["x-llmbase-ignored-parameters"] = ",".join(shown + more)
    return headers


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
