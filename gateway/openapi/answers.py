"""JSON Schemas of what callers are sent: `transcoding/answers.py`, `chunks.py` and the rest. Pure.

Tests hold every answer of the door against them, and let no key pass that is not named here.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from gateway.errors import BY_REASON, OF_THE_DOOR
from gateway.transcoding.answers import FINISH_WORDS

Schema = dict[str, Any]

TEXT: Schema = {"type": "string"}
COUNT: Schema = {"type": "integer", "minimum": 0}
DECIMAL: Schema = {"type": "string", "pattern": r"^-?[0-9]+(\.[0-9]+)?$"}
OPAQUE: Schema = {
    "type": "string",
    "contentEncoding": "base64",
    "description": "Opaque state of the provider: send it back unchanged with the conversation.",
}


def reference(name: str) -> Schema:
    """Return a reference to a named schema."""
    return {"$ref": f"#/components/schemas/{name}"}


def closed(optional: Mapping[str, Any] | None = None, /, **required: Any) -> Schema:
    """Return the schema of an object that has all of `required` and may have `optional`."""
    return {
        "type": "object",
        "properties": {**required, **(optional or {})},
        "required": list(required),
    }


def listed(items: Schema) -> Schema:
    """Return the schema of an array."""
    return {"type": "array", "items": items}


def or_null(schema: Schema) -> Schema:
    """Return the schema of the same values and null."""
    return {"anyOf": [schema, {"type": "null"}]}


_FINISH = {"type": ["string", "null"], "enum": [*FINISH_WORDS.values(), None]}
_ENVELOPE = {"id": TEXT, "created": {"type": "integer"}, "model": TEXT}
_FINGERPRINT = {"system_fingerprint": TEXT}
_SPOKEN = {
    "content": {"type": ["string", "null"]},
    "reasoning_content": TEXT,
    "refusal": TEXT,
    "provider_state": OPAQUE,
}
_KIND = {"type": "string", "const": "function"}
_TOKEN = {
    "token": TEXT,
    "logprob": {"type": "number"},
    "bytes": or_null(listed({"type": "integer", "minimum": 0, "maximum": 255})),
}
_TOKENS = or_null(listed(closed(**_TOKEN, top_logprobs=listed(closed(**_TOKEN)))))
_SEAM = closed(reason={"type": "string"}, provider={"type": "string"}, characters=COUNT) | {
    "description": "Another target goes on with the answer from here."
}


def answer_schemas() -> dict[str, Schema]:
    """Return the named schemas of all answers."""
    return {**_chats(), **_models(), "Balance": _balance(), "Error": _error(), "Health": _health()}


def _chats() -> dict[str, Schema]:
    call = closed(
        {"provider_state": OPAQUE}, id=TEXT, type=_KIND, function=closed(name=TEXT, arguments=TEXT)
    )
    message = closed(
        {**_SPOKEN, "tool_calls": listed(call)}, role={"const": "assistant"}, content=TEXT
    )
    message["properties"]["content"] = {"type": ["string", "null"]}
    facts = {"native_finish_reason": TEXT, "logprobs": reference("Logprobs")}
    choice = closed(facts, index=COUNT, message=message, finish_reason=_FINISH)
    call_delta = closed(
        {"id": TEXT, "type": _KIND, "provider_state": OPAQUE},
        index=COUNT,
        function=closed({"name": TEXT}, arguments=TEXT),
    )
    delta = closed({"role": {"const": "assistant"}, **_SPOKEN, "tool_calls": listed(call_delta)})
    choice_delta = closed(facts, index=COUNT, delta=delta, finish_reason=_FINISH)
    more = {
        **_FINGERPRINT,
        "usage": or_null(reference("Usage")),
        "llmbase": closed({"resumed": _SEAM}),
    }
    return {
        "ChatCompletion": closed(
            _FINGERPRINT,
            **_ENVELOPE,
            object={"const": "chat.completion"},
            choices=listed(choice),
            usage=reference("Usage"),
        ),
        "ChatCompletionChunk": closed(
            more,
            **_ENVELOPE,
            object={"const": "chat.completion.chunk"},
            choices=listed(choice_delta),
        ),
        "ChatCompletionEvent": _event(),
        "Logprobs": closed(content=_TOKENS, refusal=_TOKENS),
        "Usage": _usage(),
    }


def _event() -> Schema:
    document = {
        "type": "string",
        "contentMediaType": "application/json",
        "contentSchema": {"anyOf": [reference("ChatCompletionChunk"), reference("Error")]},
    }
    event = closed({"id": TEXT}, data={"anyOf": [document, {"const": "[DONE]"}]})
    event["description"] = "One event of a stream; `id` is there with an Idempotency-Key."
    return event


def _usage() -> Schema:
    estimated = {"const": True, "description": "llmbase counted: the provider did not say."}
    return closed(
        {
            "prompt_tokens_details": closed({"cached_tokens": COUNT, "cache_write_tokens": COUNT}),
            "completion_tokens_details": closed({"reasoning_tokens": COUNT}),
            "estimated": estimated,
        },
        prompt_tokens=COUNT,
        completion_tokens=COUNT,
        total_tokens=COUNT,
    )


def _models() -> dict[str, Schema]:
    words = listed(TEXT)
    limit = {"type": ["integer", "null"], "minimum": 0}
    pricing = closed(prompt=DECIMAL, completion=DECIMAL, input_cache_read=DECIMAL)
    pricing["description"] = "US dollars per token, as decimal strings."
    metadata = {
        "name": TEXT,
        "description": TEXT,
        "context_length": limit,
        "max_output_length": limit,
        "input_modalities": words,
        "output_modalities": words,
        "supported_features": words,
        "supported_parameters": words,
        "pricing": or_null(pricing),
        "prompt_cache_supported": {"type": "boolean"},
    }
    model = closed(
        metadata,
        id=TEXT,
        object={"const": "model"},
        created={"type": "integer"},
        owned_by=TEXT,
    )
    models = closed(object={"const": "list"}, data=listed(reference("Model")))
    return {"Model": model, "ModelList": models}


def _balance() -> Schema:
    return closed(
        object={"const": "balance"}, currency={"const": "USD"}, balance=DECIMAL, reserved=DECIMAL
    )


def _error() -> Schema:
    rows = (*BY_REASON.values(), *OF_THE_DOOR.values())
    types = dict.fromkeys(row.type for row in rows)
    codes = dict.fromkeys(row.code for row in rows if row.code is not None)
    error = closed(
        message=TEXT,
        type={"type": "string", "enum": [*types]},
        code={"type": ["string", "null"], "enum": [*codes, None]},
        param={"type": ["string", "null"], "description": "The path of the field at fault."},
    )
    return closed(error=error)


def _health() -> Schema:
    return closed(status={"type": "string", "enum": ["ok", "unavailable"]})
