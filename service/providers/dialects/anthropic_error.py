"""Error objects of the Messages API, in a body or an event: what kind, and what is said.

Classified by the documented `type`, which stands for the HTTP status it comes with when it is not
inside an answer; never by the message's text.
"""

from __future__ import annotations

from typing import Any

import orjson

from service.errors import FaultKind, ProviderFault
from service.providers.http_faults import REJECTING, Verdict, redact, weigh

_STATUSES = {
    "invalid_request_error": 400,
    "authentication_error": 401,
    "billing_error": 402,
    "permission_error": 403,
    "not_found_error": 404,
    "conflict_error": 409,
    "request_too_large": 413,
    "rate_limit_error": 429,
    "api_error": 500,
    "timeout_error": 504,
    "overloaded_error": 529,
}


def fault(error: Any, where: str) -> ProviderFault:
    """Return the fault that an error object (or text) means; `where` it was found is for logs."""
    word = error.get("type") if isinstance(error, dict) else None
    message = error.get("message") if isinstance(error, dict) else error
    status = _STATUSES.get(word) if isinstance(word, str) else None
    told = redact(message, ()) if isinstance(message, str) else ""
    if status is None:
        return ProviderFault(FaultKind.REPORTED, f"an error {where}", told=told)
    kind = FaultKind.REJECTED if status in REJECTING else FaultKind.STATUS
    return ProviderFault(kind, f"an error {where}, {word}", status=status, told=told)


def verdict(status: int, body: bytes) -> Verdict:
    """Return the status to go by, of an HTTP error whose body may say better what it is about."""
    try:
        given = orjson.loads(body)
    except orjson.JSONDecodeError:
        return Verdict(status)
    error = given.get("error") if isinstance(given, dict) else None
    word = error.get("type") if isinstance(error, dict) else None
    return weigh(status, _STATUSES.get(word) if isinstance(word, str) else None)


def event_fault(data: bytes) -> ProviderFault:
    """Return the fault of an event that its name calls an error, whatever its data looks like."""
    try:
        error = orjson.loads(data)
    except orjson.JSONDecodeError:
        error = data.decode(errors="replace")
    if isinstance(error, dict) and error.get("error"):
        error = error["error"]
    return fault(error, "event")
