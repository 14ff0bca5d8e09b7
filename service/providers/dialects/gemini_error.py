"""Google's error objects: what kind of fault one is, by its codes and never by its text.

`code` is an HTTP status (or a number of google.rpc.Code), `status` the word of that code; both are
described with google.rpc.Status.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

import orjson

from service.errors import FaultKind, ProviderFault
from service.providers.http_faults import REJECTING, Verdict, weigh

_MOST_TOLD = 2000  # characters; whoever passes a message on redacts and bounds it for its reader
_DURATION = re.compile(r"(\d{1,9}(?:\.\d{1,9})?)s")

# The codes of google.rpc.Code in their order, from 1, and the HTTP status that each stands for.
_CODES = {
    "CANCELLED": 499,
    "UNKNOWN": 500,
    "INVALID_ARGUMENT": 400,
    "DEADLINE_EXCEEDED": 504,
    "NOT_FOUND": 404,
    "ALREADY_EXISTS": 409,
    "PERMISSION_DENIED": 403,
    "RESOURCE_EXHAUSTED": 429,
    "FAILED_PRECONDITION": 403,
    "ABORTED": 409,
    "OUT_OF_RANGE": 400,
    "UNIMPLEMENTED": 501,
    "INTERNAL": 500,
    "UNAVAILABLE": 503,
    "DATA_LOSS": 500,
    "UNAUTHENTICATED": 401,
}
_WORDS = tuple(_CODES)
# Reasons of google.rpc.ErrorInfo that make our key the culprit, whatever the status says.
_KEY_AT_FAULT = frozenset({"API_KEY_INVALID", "API_KEY_SERVICE_BLOCKED", "ACCESS_TOKEN_EXPIRED"})

# The account or its place is at fault (no billing, a country that is not served), though it comes
# as a 400: another target may well answer.
_OUR_ACCOUNT = "FAILED_PRECONDITION"


def fault(error: Any, where: str) -> ProviderFault:
    """Return the fault that an error object means; `where` it was found is for logs."""
    given = error if isinstance(error, dict) else {"message": error}
    status = _status(given)
    kind = FaultKind.REPORTED if status is None else FaultKind.STATUS
    if status in REJECTING:
        kind = FaultKind.REJECTED
    word, message = given.get("status"), given.get("message")
    known = isinstance(word, str) and word in _CODES
    return ProviderFault(
        kind,
        f"an error {where}" + (f", {word}" if known else ""),
        status=status,
        told=message[:_MOST_TOLD] if isinstance(message, str) else "",
        retry_after=_retry_after(given),
    )


def verdict(status: int, body: bytes) -> Verdict:
    """Return the status to go by, of an HTTP error whose body may say better what it is about."""
    try:
        given = orjson.loads(body)
    except orjson.JSONDecodeError:
        return Verdict(status)
    if isinstance(given, list) and given:  # a stream that was asked for without `alt=sse`
        given = given[0]
    error = given.get("error") if isinstance(given, dict) else None
    if not isinstance(error, dict):
        return Verdict(status)
    return weigh(status, _status(error), _retry_after(error))


def _status(error: dict[str, Any]) -> int | None:
    if error.get("status") == _OUR_ACCOUNT:
        return _CODES[_OUR_ACCOUNT]
    if any(detail.get("reason") in _KEY_AT_FAULT for detail in _details(error)):
        return 401
    code, word = error.get("code"), error.get("status")
    if isinstance(code, int) and 400 <= code <= 599:
        return code
    if isinstance(code, int) and 1 <= code <= len(_WORDS):
        return _CODES[_WORDS[code - 1]]
    return _CODES.get(word) if isinstance(word, str) else None


def _retry_after(error: dict[str, Any]) -> float | None:
    """Return the seconds to wait that a google.rpc.RetryInfo among the details names."""
    for detail in _details(error):
        delay = detail.get("retryDelay")
        if isinstance(delay, str) and (match := _DURATION.fullmatch(delay)):
            return float(match[1])
    return None


def _details(error: dict[str, Any]) -> Iterator[dict[str, Any]]:
    details = error.get("details")
    for detail in details if isinstance(details, list) else ():
        if isinstance(detail, dict):
            yield detail
