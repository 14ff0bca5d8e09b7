"""Our own description of the REST door, to hold requests and answers against, and strictly."""

from __future__ import annotations

import json
from functools import cache
from typing import Any

import jsonschema

from gateway.openapi.document import document
from tests.support.rest_form import DONE, Reply

_COMBINED = ("anyOf", "oneOf", "allOf")


def check_request(body: Any) -> None:
    """Raise ValidationError unless the body is a request as it is described."""
    _validator("ChatCompletionRequest", strict=False).validate(body)


def check_answer(reply: Reply, kind: str) -> None:
    """Raise ValidationError unless the answer is a `kind` or an error, without a key too many."""
    if reply.status != 200:
        check("Error", reply.json)
    elif reply.headers["Content-Type"].startswith("application/json"):
        check(kind, reply.json)
    else:
        for data in reply.events:
            if data != DONE:
                event = json.loads(data)
                check("Error" if "error" in event else "ChatCompletionChunk", event)


def check(name: str, value: Any) -> None:
    """Raise ValidationError unless the value is a `name` that has no key which is not described."""
    _validator(name, strict=True).validate(value)


@cache
def _validator(name: str, *, strict: bool) -> jsonschema.Draft202012Validator:
    parts = document()["components"]
    if strict:
        parts = _closed(parts)
    schema = {"$ref": f"#/components/schemas/{name}", "components": parts}
    jsonschema.Draft202012Validator.check_schema(schema)
    return jsonschema.Draft202012Validator(schema)


def _closed(schema: Any) -> Any:
    """The schema with no room for keys that it does not name."""
    if isinstance(schema, list):
        return [_closed(inner) for inner in schema]
    if not isinstance(schema, dict):
        return schema
    closed = {key: _closed(inner) for key, inner in schema.items()}
    if schema.get("type") == "object" and isinstance(schema.get("properties"), dict):
        assert not any(word in schema for word in _COMBINED)
        closed.setdefault("additionalProperties", False)
    return closed
