"""The paths of the REST door: what each takes and how it can end, by the table of errors. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from gateway.errors import BY_REASON, OF_THE_DOOR, Row
from gateway.openapi.answers import reference
from gateway.openapi.headers import (
    ANSWER,
    CHAT_ANSWER,
    CHAT_ERROR,
    CHAT_REQUEST,
    DEADLINE,
    ERROR,
    REQUEST_ID,
)

Schema = dict[str, Any]

_DOOR = {name.upper(): row for name, row in OF_THE_DOOR.items()}
_ANYWHERE = ("INVALID_REQUEST", "SERVICE_UNAVAILABLE", "INTERNAL_ERROR")
# Asked of the service, in the name of a caller.
_ASKED = (*_ANYWHERE, "MISSING_API_KEY", "INVALID_API_KEY", "DEADLINE_EXCEEDED")
_SAID = {
    "model": "zai-org/glm-5",
    "messages": [{"role": "user", "content": "Explain recursion in one sentence."}],
}
_EXAMPLES = {"whole": {"value": _SAID}, "streamed": {"value": _SAID | {"stream": True}}}
# Reasons of what is asked about accounts and keys.
NEVER_OF_A_CHAT = ("ADMIN_REQUIRED", "ACCOUNT_NOT_FOUND", "KEY_NOT_FOUND", "ALREADY_EXISTS")
_CHAT = tuple(reason for reason in BY_REASON if reason not in NEVER_OF_A_CHAT)
_METADATA = {
    "name": "metadata",
    "in": "query",
    "description": "Whether to add prices, modalities and features.",
    "schema": {"type": "string", "enum": ["true", "false"], "default": "false"},
}
_FILTER = {
    "name": "filter",
    "in": "query",
    "description": "`agents`: only models that can call tools.",
    "schema": {"type": "string", "enum": ["agents"]},
}
_MODEL_ID = {
    "name": "id",
    "in": "path",
    "required": True,
    "description": "The rest of the path: ids have slashes in them.",
    "schema": {"type": "string", "minLength": 1},
}


def paths() -> dict[str, Any]:
    """Return every path of the door."""
    return {
        "/v1/chat/completions": {"post": _chat()},
        "/v1/models": {
            "get": _read(
                "listModels", "The models that the caller may use.", "ModelList", _FILTER, _METADATA
            )
        },
        "/v1/models/{id}": {
            "get": _read(
                "getModel",
                "One model.",
                "Model",
                _MODEL_ID,
                _METADATA,
                reasons=("MODEL_NOT_FOUND", "UNKNOWN_URL"),
            )
        },
        "/v1/balance": {
            "get": _read(
                "getBalance",
                "The account's money. 404 where the key belongs to no account.",
                "Balance",
                reasons=("ACCOUNT_NOT_FOUND",),
            )
        },
        "/livez": {"get": _probe("isAlive", "Whether the process answers.", 200)},
        "/readyz": {"get": _probe("isReady", "Whether chats would be served.", 200, 503)},
        "/openapi.json": {"get": _description()},
    }


def _chat() -> Schema:
    content = {
        "application/json": {"schema": reference("ChatCompletion")},
        "text/event-stream": {"schema": reference("ChatCompletionEvent")},
    }
    said = (
        "A `ChatCompletion`; with `stream`, server-sent events whose data is a "
        "`ChatCompletionChunk` each, or an `Error` that ends the stream, and `[DONE]` after the "
        "last chunk of a complete answer. Lines that begin with a colon keep it alive."
    )
    schema = reference("ChatCompletionRequest")
    body = {"application/json": {"schema": schema, "examples": _EXAMPLES}}
    ok = {"description": said, "headers": {**ANSWER, **CHAT_ANSWER}, "content": content}
    return {
        "operationId": "createChatCompletion",
        "summary": "Answer a conversation, whole or as a stream.",
        "parameters": [REQUEST_ID, DEADLINE, *CHAT_REQUEST],
        "requestBody": {"required": True, "content": body},
        "responses": {"200": ok, **_errors((*_CHAT, "REQUEST_TIMEOUT"), CHAT_ERROR)},
    }


def _read(
    name: str, summary: str, schema: str, *parameters: Schema, reasons: Iterable[str] = ()
) -> Schema:
    return {
        "operationId": name,
        "summary": summary,
        "parameters": [*parameters, REQUEST_ID, DEADLINE],
        "responses": {"200": _json(summary, schema), **_errors((*_ASKED, *reasons))},
    }


def _probe(name: str, summary: str, *statuses: int) -> Schema:
    responses = {str(status): _json(summary, "Health") for status in statuses}
    return {"operationId": name, "summary": summary, "security": [], "responses": responses}


def _description() -> Schema:
    content = {"application/json": {"schema": {"type": "object"}}}
    ok = {"description": "This document.", "headers": ANSWER, "content": content}
    return {
        "operationId": "getDescription",
        "summary": "This document.",
        "security": [],
        "responses": {"200": ok, **_errors(("SERVICE_UNAVAILABLE",))},
    }


def _json(said: str, schema: str, headers: Schema = ANSWER) -> Schema:
    content = {"application/json": {"schema": reference(schema)}}
    return {"description": said, "headers": headers, "content": content}


def _errors(reasons: Iterable[str], headers: Schema = ERROR) -> dict[str, Schema]:
    """Return a response for each status that the reasons lead to, with the codes it can have."""
    rows: Mapping[str, Row] = {**BY_REASON, **_DOOR}
    by_status: dict[int, dict[str, None]] = {}
    for reason in dict.fromkeys(reasons):
        row = rows[reason]
        by_status.setdefault(row.status, {})[f"`{row.code}`" if row.code else "no code"] = None
    return {
        str(status): _json(f"An error: {', '.join(codes)}.", "Error", headers)
        for status, codes in sorted(by_status.items())
    }
