"""Error objects of OpenAI-compatible providers, in a body or an event: what kind, and what is said.

Classified by a status that the object itself carries, else by documented machine words; never by
the message's text.
"""

from __future__ import annotations

import re
from typing import Any

import orjson

from service.errors import FaultKind, ProviderFault
from service.providers.http_faults import REJECTING, Verdict, weigh

_MOST_TOLD = 2000  # characters; whoever passes a message on redacts and bounds it for its reader
_DEEPEST = 4  # levels of an envelope that are searched for the message
_MACHINE_WORD = re.compile(r"[A-Za-z][A-Za-z0-9_.-]{0,63}")
_UNPRINTABLE = re.compile(r"[\x00-\x1f\x7f]+")
_NOT_JSON = object()

# Documented values of `code` and `type`, where the object carries no status of its own.
_STATUS_OF_WORD = {
    "authentication_error": 401,
    "invalid_api_key": 401,
    "insufficient_quota": 429,
    "rate_limit_error": 429,
    "rate_limit_exceeded": 429,
    "permission_error": 403,
    "model_not_found": 404,
    "not_found_error": 404,
    "content_filter": 400,
    "context_length_exceeded": 400,
    "exceed_context_size_error": 400,
    "invalid_request_error": 400,
    "overloaded_error": 503,
    "service_unavailable": 503,
    "server_error": 500,
    "internal_server_error": 500,
}


def fault(error: Any, where: str) -> ProviderFault:
    """Return the fault that an error object (or text) means; `where` it was found is for logs."""
    status = _status(error)
    word = _word(error)
    kind = FaultKind.REPORTED if status is None else FaultKind.STATUS
    if status in REJECTING:
        kind = FaultKind.REJECTED
    detail = f"an error {where}" + (f", {word}" if word else "")
    return ProviderFault(kind, detail, status=status, told=_clean(_message(error, _DEEPEST)))


def bare_fault(data: bytes, where: str) -> ProviderFault | None:
    """Return the fault that an object without an `error` key means, if it is an error at all.

    Some servers (vLLM, FastAPI) send the error itself where the answer should be.
    """
    value = _parsed(data)
    if not isinstance(value, dict):
        return None
    says_so = value.get("object") == "error" or value.get("type") == "error"
    if says_so or "detail" in value or ("message" in value and "code" in value):
        return fault(value, where)
    return None


def message(body: bytes) -> str:
    """Return the provider's own message in an HTTP error body; "" where there is none."""
    value = _parsed(body)
    if value is _NOT_JSON:
        # A line of text is a message, a page of HTML or broken JSON is not.
        text = body[: _MOST_TOLD + 1].decode(errors="replace").strip()
        return "" if text[:1] in ("<", "{", "[") or len(text) > _MOST_TOLD else _clean(text)
    return _clean(_message(value, _DEEPEST))


def verdict(status: int, body: bytes) -> Verdict:
    """Return the status to go by, of an HTTP error whose body may say better what it is about."""
    value = _parsed(body)
    if isinstance(value, list) and value:
        value = value[0]
    if isinstance(value, dict) and isinstance(value.get("error"), dict):
        value = value["error"]
    return weigh(status, _status(value))


def event_fault(data: bytes) -> ProviderFault:
    """Return the fault of an event that its name calls an error, whatever its data looks like."""
    value = _parsed(data)
    if isinstance(value, dict) and value.get("error"):
        value = value["error"]
    return fault(data.decode(errors="replace") if value is _NOT_JSON else value, "event")


def _parsed(data: bytes) -> Any:
    try:
        return orjson.loads(data)
    except orjson.JSONDecodeError:
        return _NOT_JSON


def _status(error: Any) -> int | None:
    if not isinstance(error, dict):
        return None
    for key in ("status_code", "raw_status_code", "status", "code"):
        value = error.get(key)
        if isinstance(value, str) and re.fullmatch(r"[45]\d\d", value):
            value = int(value)
        if isinstance(value, int) and 400 <= value <= 599:
            return value
    for key in ("code", "type"):
        value = error.get(key)
        if isinstance(value, str) and value in _STATUS_OF_WORD:
            return _STATUS_OF_WORD[value]
    return None


def _word(error: Any) -> str:
    """Return the machine word of an error for logs, "" for what is not plainly one."""
    if isinstance(error, dict):
        for key in ("code", "type"):
            value = error.get(key)
            if isinstance(value, str) and _MACHINE_WORD.fullmatch(value):
                return value
    return ""


def _message(value: Any, depth: int) -> str:
    """Search an envelope for the message: the known keys in order, every item of a list."""
    if isinstance(value, str):
        return value
    if depth and isinstance(value, list):
        found = (_message(item, depth - 1) for item in value)
        return "; ".join(text for text in found if text)
    if depth and isinstance(value, dict):
        for key in ("error", "message", "detail", "msg", "errors", "error_message", "title"):
            if text := _message(value.get(key), depth - 1):
                return _located(text, value.get("loc"))
    return ""


def _located(text: str, path: Any) -> str:
    """Put the path of a wrong field, where one is given as a list, before what is wrong."""
    if not isinstance(path, list):
        return text
    return f"{'.'.join(str(step) for step in path if isinstance(step, str | int))}: {text}"


def _clean(text: str) -> str:
    return _UNPRINTABLE.sub(" ", text).strip()[:_MOST_TOLD]
