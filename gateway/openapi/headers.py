"""The headers of the REST door, both ways, as the description names them. Pure."""

from __future__ import annotations

from typing import Any

from gateway.limit_headers import LIMIT_HEADERS

Schema = dict[str, Any]

_TEXT: Schema = {"type": "string"}
_COUNT: Schema = {"type": "integer", "minimum": 0}
_SWITCH: Schema = {"type": "string", "enum": ["true", "false"]}


def _sent(name: str, description: str, schema: Schema) -> Schema:
    return {"name": name, "in": "header", "description": description, "schema": schema}


def _told(description: str, schema: Schema = _TEXT) -> Schema:
    return {"description": description, "schema": schema}


REQUEST_ID = _sent(
    "X-Request-Id", "The caller's own id of the request; any other is replaced by ours.", _TEXT
)
DEADLINE = _sent(
    "X-Request-Timeout",
    "Seconds after which the caller wants no answer any more: then it is 504.",
    {"type": "number", "exclusiveMinimum": 0, "exclusiveMaximum": 1_000_000},
)
CHAT_REQUEST = (
    _sent(
        "Idempotency-Key",
        "A repeat with the same key and body gets the same answer, paid for once.",
        {"type": "string", "pattern": "^[!-~]{1,255}$"},
    ),
    _sent(
        "Last-Event-ID",
        "The last event that was seen of the stream with this Idempotency-Key: what follows is "
        "sent.",
        {"type": "string", "pattern": r"^[1-9][0-9]{0,8}\.[1-9][0-9]{0,5}\.[0-9]{1,3}$"},
    ),
    _sent(
        "X-LLMBase-Fallback",
        "`off` forbids that another model answers; anything else means nothing.",
        _TEXT,
    ),
    _sent(
        "X-LLMBase-Priority",
        "Calls of the priority `batch` wait longest when there are too many.",
        {"type": "string", "enum": ["interactive", "batch"]},
    ),
    _sent("traceparent", "The W3C trace that the call belongs to.", _TEXT),
    _sent("tracestate", "What others keep with that trace; it is passed on.", _TEXT),
)

ANSWER = {"x-request-id": _told("The id of the request, for logs and questions.")}
_REQUESTED = {"x-llmbase-requested-model": _told("The model that was asked for.")}
ERROR = {
    **ANSWER,
    "Retry-After": _told("Seconds after which to try again, where waiting helps.", _COUNT),
}
_LIMITS = {
    name: _told("What is left of the key's limits, as OpenAI says it.") for name in LIMIT_HEADERS
}
CHAT_ERROR = {**ERROR, **_REQUESTED, **_LIMITS}
CHAT_ANSWER = {
    **_REQUESTED,
    **_LIMITS,
    "x-llmbase-served-model": _told("The model that answered."),
    "x-llmbase-fallback-applied": _told("Whether they differ.", _SWITCH),
    "x-llmbase-fallback-reason": _told("Why they differ."),
    "x-llmbase-fallback-chain": _told("The models that were tried, with commas between."),
    "x-llmbase-provider": _told("Whose answer it is, as configured."),
    "x-llmbase-attempts": _told("How many times a provider was asked.", _COUNT),
    "x-llmbase-ignored-parameters": _told("Fields of the request that were left out."),
    "x-llmbase-idempotent-replay": _told("The answer was kept for a repeat.", {"const": "true"}),
}
