"""JSON Schema as structured outputs take it: a part of it, with every object closed.

What the grammar cannot enforce (ranges, lengths, patterns of keys, …) leaves the schema and goes
into the description, where the model reads it; `oneOf` becomes `anyOf`; an object with properties
takes no others. So an answer that matches the rewritten schema has the wanted shape, though a range
may be missed. What cannot be said at all (an object of any keys, a schema that refers to itself) is
left for the provider to refuse in its own words.

Numbers and the order of keys are not touched.
"""

from __future__ import annotations

import re
from typing import NamedTuple

from msgspec import Raw, json

from service.providers.dialects.openai_wire import RawObject

_SCHEMA = "items", "additionalProperties"
_SCHEMAS_BY_NAME = "properties", "$defs", "definitions"
_LISTS_OF_SCHEMAS = "anyOf", "allOf"
_AS_THEY_ARE = (
    *("type", "title", "description", "default", "enum", "const", "required"),
    *("$ref", "pattern", "format", "minItems"),
)
_MEANINGLESS = "$schema", "$id", "$comment"  # to the model
# Values of some of these that are not enforced all the same.
_FORMATS = frozenset(
    ["date-time", "time", "date", "duration", "email", "hostname", "uri", "ipv4", "ipv6", "uuid"]
)
_BEYOND_PATTERNS = re.compile(r"\(\?[=!<]|\\[1-9bB]")  # looking around, back, and for words


class Rewritten(NamedTuple):
    """A schema as JSON text, and whether all of it is still enforced."""

    text: str
    whole: bool


def rewrite(text: str) -> Rewritten:
    """Return a schema as structured outputs take it.

    What cannot be read (nested too deep) comes back as it was, for the provider to judge.
    """
    writer = _Writer()
    try:
        return Rewritten(writer.schema(Raw(text.encode())).decode(), writer.whole)
    except (ValueError, RecursionError):
        return Rewritten(text, True)


def typed_object(text: str) -> str:
    """Return the schema of an object, with `type` where it was left out: the API wants it said."""
    try:
        members = json.decode(text, type=RawObject)
    except (ValueError, RecursionError):
        return text
    if "type" in members:
        return text
    return json.encode({"type": Raw(b'"object"'), **members}).decode()


class _Writer:
    def __init__(self) -> None:
        self.whole = True

    def schema(self, raw: Raw) -> bytes:
        """Return one schema rewritten, and all below it."""
        if not bytes(raw).lstrip().startswith(b"{"):
            return bytes(raw)  # `true` and `false` are schemas too
        found: RawObject = {}
        moved: RawObject = {}
        members = json.decode(raw, type=RawObject)
        for key, value in members.items():
            if key == "oneOf" and "anyOf" not in members:
                found["anyOf"] = Raw(self._list(value))
            elif _is_enforced(key, value):
                found[key] = Raw(self._value(key, value))
            elif key not in _MEANINGLESS:
                moved[key] = value
        if "properties" in found and bytes(found.get("additionalProperties", b"true")) == b"true":
            found["additionalProperties"] = Raw(b"false")
        if moved:
            self.whole = False
            found["description"] = _with_rules(found.get("description"), moved)
        return json.encode(found)

    def _value(self, key: str, value: Raw) -> bytes:
        if key in _SCHEMA:
            return self.schema(value)
        if key in _LISTS_OF_SCHEMAS:
            return self._list(value)
        if key in _SCHEMAS_BY_NAME:
            named = json.decode(value, type=RawObject)
            return json.encode({name: Raw(self.schema(each)) for name, each in named.items()})
        return bytes(value)

    def _list(self, value: Raw) -> bytes:
        return json.encode([Raw(self.schema(each)) for each in json.decode(value, type=list[Raw])])


def _is_enforced(key: str, value: Raw) -> bool:
    match key:
        case "format":
            return json.decode(value, type=str) in _FORMATS
        case "pattern":
            return _BEYOND_PATTERNS.search(json.decode(value, type=str)) is None
        case "minItems":
            return bytes(value) in (b"0", b"1")
    return key in (*_AS_THEY_ARE, *_SCHEMA, *_SCHEMAS_BY_NAME, *_LISTS_OF_SCHEMAS)


def _with_rules(description: Raw | None, rules: RawObject) -> Raw:
    said = json.decode(description, type=str) if description is not None else ""
    text = json.format(json.encode(rules), indent=-1).decode()
    return Raw(json.encode(f"{said}\n\n{text}" if said else text))
