"""A JSON Schema in the keywords that Gemini documents for its JSON Schema fields.

The schema goes out as the caller wrote it, value for value. Only what has a supported equivalent is
put that way, without a change of meaning: `const`, `definitions`, an `allOf` of one, and a `$ref`
that has neighbours. Other keywords are the provider's to honour or to ignore.
"""

from __future__ import annotations

import re

from msgspec import Raw, json

from service.providers.dialects.openai_wire import RawObject

_NEEDS_REWRITE = re.compile(r'"(?:const|definitions|allOf|\$ref)"')
_SCHEMA = frozenset(
    {
        *("items", "additionalProperties", "not", "if", "then", "else", "contains"),
        *("propertyNames", "unevaluatedItems", "unevaluatedProperties", "additionalItems"),
    }
)
_SCHEMAS = frozenset({"anyOf", "allOf", "oneOf", "prefixItems"})
_NAMED_SCHEMAS = frozenset({"properties", "patternProperties", "$defs", "dependentSchemas"})
_OLD_POINTER, _POINTER = b'"#/definitions/', b'"#/$defs/'


def rewrite(schema: str) -> str:
    """Return the schema, JSON text of an object, in supported keywords where there are any."""
    if not _NEEDS_REWRITE.search(schema):
        return schema
    try:
        root = json.decode(schema, type=RawObject)
        moves = "definitions" in root and "$defs" not in root
        if moves:
            root = {"$defs" if key == "definitions" else key: root[key] for key in root}
        return bytes(_Rewriter(moves).keywords(root)).decode()
    except (ValueError, RecursionError):
        return schema  # too odd to be understood here: let the provider judge


class _Rewriter:
    """Rewrites a schema and what is in it; `moves` is whether `definitions` became `$defs`."""

    def __init__(self, moves: bool) -> None:
        self._moves = moves

    def keywords(self, given: RawObject) -> Raw:
        found: RawObject = {}
        for key, value in given.items():
            if key in _SCHEMA:
                found[key] = self._schema(value)
            elif key in _SCHEMAS:
                found[key] = self._list(value)
            elif key in _NAMED_SCHEMAS:
                found[key] = self._named(value)
            elif key == "const" and "enum" not in given and _is_text_or_number(value):
                found["enum"] = Raw(b"[" + bytes(value) + b"]")
            elif key == "$ref" and self._moves and bytes(value).startswith(_OLD_POINTER):
                found[key] = Raw(_POINTER + bytes(value).removeprefix(_OLD_POINTER))
            else:
                found[key] = value
        return Raw(json.encode(_without_conjunction(found)))

    def _schema(self, raw: Raw) -> Raw:
        """Rewrite what should be a schema; true and false are some too."""
        return self.keywords(json.decode(raw, type=RawObject)) if _begins(raw, b"{") else raw

    def _list(self, raw: Raw) -> Raw:
        if not _begins(raw, b"["):
            return raw
        return Raw(json.encode([self._schema(item) for item in json.decode(raw, type=list[Raw])]))

    def _named(self, raw: Raw) -> Raw:
        if not _begins(raw, b"{"):
            return raw
        schemas = json.decode(raw, type=RawObject)
        return Raw(json.encode({name: self._schema(schemas[name]) for name in schemas}))


def _without_conjunction(found: RawObject) -> RawObject:
    """Say "and also this" with an `anyOf` of one, which is what is supported of it."""
    if "anyOf" in found:
        return found
    if "$ref" in found and not all(key.startswith("$") for key in found):
        rest = {key: value for key, value in found.items() if key != "$ref"}
        return rest | {"anyOf": Raw(json.encode([{"$ref": found["$ref"]}]))}
    if "allOf" in found and len(json.decode(found["allOf"], type=list[Raw])) == 1:
        return {"anyOf" if key == "allOf" else key: value for key, value in found.items()}
    return found


def _is_text_or_number(raw: Raw) -> bool:
    return _begins(raw, b'"') or bytes(raw).strip()[:1] in b"-0123456789"


def _begins(raw: Raw, mark: bytes) -> bool:
    return bytes(raw).lstrip().startswith(mark)
