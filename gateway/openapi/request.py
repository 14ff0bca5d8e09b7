"""JSON Schemas of what callers send, from the tables that read it. Pure.

A null is absent, so every key that need not be there may be null; unknown keys are allowed, for
they are left out and named. An ignored field may be anything, a refused one only null.
"""

from __future__ import annotations

from typing import Any

from gateway.openapi.limits import LIMITS, REQUIRED
from gateway.transcoding.fields import Field, Table
from gateway.transcoding.request import REQUEST

Schema = dict[str, Any]

# Objects that are worth a name of their own, by their place.
_NAMES = {
    "": "ChatCompletionRequest",
    "chat_template_kwargs.": "ChatTemplateKwargs",
    "messages[].": "Message",
    "messages[].tool_calls[].": "ToolCall",
    "tools[].": "Tool",
}
# What OpenAI's documentation of a field does not say.
_NOTES = {
    "model": "The id of a model, as `GET /v1/models` lists them.",
    "max_completion_tokens": "The same as `max_tokens`, and wins over it.",
    "chat_template_kwargs": "Switches of open models' chat templates.",
    "extra_body.chat_template_kwargs": "Another spelling of `chat_template_kwargs`.",
    "extra_body": "Another place for `chat_template_kwargs`; nothing else in it is read.",
    "llmbase": "What only llmbase knows.",
    "llmbase.continuation": "Whether another model may go on with an answer that was cut.",
    "messages[].provider_state": "Opaque state of the provider, as it came with the answer.",
    "messages[].tool_calls[].provider_state": "As `provider_state` of the message.",
    "messages[].reasoning_content": "What the assistant thought, as it came with the answer.",
    "stream_options.include_usage": "Usage comes in a chunk of its own, not in the last one.",
}


def request_schemas() -> dict[str, Schema]:
    """Return the named schemas of a chat completion request."""
    named: dict[str, Schema] = {}
    _value(REQUEST, named)
    return dict(sorted(named.items()))


def _value(shape: Any, named: dict[str, Schema]) -> Any:
    """Return a shape with a schema, or a reference to one, where it has a table."""
    if isinstance(shape, Table):
        name = _NAMES.get(shape.where)
        if name is None:
            return _object(shape, named)
        if name not in named:
            named[name] = _object(shape, named)
        return {"$ref": f"#/components/schemas/{name}"}
    if isinstance(shape, dict):
        return {key: _value(inner, named) for key, inner in shape.items()}
    if isinstance(shape, list):
        return [_value(inner, named) for inner in shape]
    return shape


def _object(table: Table, named: dict[str, Schema]) -> Schema:
    needed = {*table.required, *REQUIRED.get(table.where, ())}
    if "type" in table.rows:  # it tells the kind of object
        needed.add("type")
    properties = {
        key: _property(table.where + key, row, key in needed, named)
        for key, row in table.rows.items()
    }
    schema: Schema = {"type": "object", "properties": properties}
    if needed:
        schema["required"] = [key for key in table.rows if key in needed]
    return schema


def _property(path: str, row: Field, needed: bool, named: dict[str, Schema]) -> Schema:
    schema: Schema = _value(row.shape, named) | LIMITS.get(path, {})
    if not needed:
        schema = _nullable(schema)
    if row.fate == "ignored":
        return {"description": f"Left out: {row.note}."}
    note = row.note or _NOTES.get(path, "")
    return schema | ({"description": f"{note[0].upper()}{note[1:]}"} if note else {})


def _nullable(schema: Schema) -> Schema:
    """Return the schema of the same values and null."""
    kind = schema.get("type")
    if "const" in schema or not isinstance(kind, str):
        options = schema.get("anyOf") or [schema]
        return {"anyOf": [*options, {"type": "null"}]}
    if kind == "null":
        return schema
    wider = schema | {"type": [kind, "null"]}
    if "enum" in schema:
        wider["enum"] = [*schema["enum"], None]
    return wider
