"""The kinds of rows that tables are made of: text, numbers, nested objects and so on. Pure.

A function here returns the row of one JSON key; `name` is the proto field it reads and writes.
"""

from __future__ import annotations

import base64
import binascii
from collections.abc import Mapping
from typing import Any

import orjson

from gateway.transcoding.fields import BadField, Field, Read, Reading, Table, Write

INT32 = (-(2**31), 2**31 - 1)
INT64 = (-(2**63), 2**63 - 1)


def absent(message: Any) -> None:
    """Write nothing: the key is another spelling, or no part of the message."""


def _present(name: str) -> Write:
    return lambda message: getattr(message, name) if message.HasField(name) else None


def text(name: str) -> Field:
    """Return the row of a string that may be absent."""
    return Field(_text_reader(name), _present(name), shape={"type": "string"})


def bare_text(name: str) -> Field:
    """Return the row of a string without presence in the proto: empty is absent."""
    return Field(
        _text_reader(name),
        lambda message: getattr(message, name) or None,
        shape={"type": "string"},
    )


def _text_reader(name: str) -> Read:
    def read(message: Any, value: Any, reading: Reading) -> None:
        if type(value) is not str:
            raise BadField("", "must be a string")
        setattr(message, name, value)

    return read


def flag(name: str) -> Field:
    """Return the row of a boolean."""

    def read(message: Any, value: Any, reading: Reading) -> None:
        if type(value) is not bool:
            raise BadField("", "must be true or false")
        setattr(message, name, value)

    return Field(read, _present(name), shape={"type": "boolean"})


def number(name: str) -> Field:
    """Return the row of a number (a boolean is none)."""

    def read(message: Any, value: Any, reading: Reading) -> None:
        if type(value) is not float and type(value) is not int:
            raise BadField("", "must be a number")
        setattr(message, name, value)

    return Field(read, _present(name), shape={"type": "number"})


def integer(name: str, bounds: tuple[int, int] = INT32) -> Field:
    """Return the row of an integer within bounds, those of its proto type."""

    def read(message: Any, value: Any, reading: Reading) -> None:
        setattr(message, name, as_integer(value, bounds))

    return Field(read, _present(name), shape=integers(bounds))


def integers(bounds: tuple[int, int] = INT32) -> dict[str, Any]:
    """Return the shape of an integer within bounds."""
    return {"type": "integer", "minimum": bounds[0], "maximum": bounds[1]}


def as_integer(value: Any, bounds: tuple[int, int]) -> int:
    """Return the value as an integer: 1.0 is one, as JSON Schema has it; true is none."""
    if type(value) is float and value.is_integer():
        value = int(value)
    if type(value) is not int:
        raise BadField("", "must be an integer")
    if not bounds[0] <= value <= bounds[1]:
        raise BadField("", f"must be an integer between {bounds[0]} and {bounds[1]}")
    return value


def state(name: str) -> Field:
    """Return the row of opaque bytes, base64 in JSON; empty is absent."""

    def read(message: Any, value: Any, reading: Reading) -> None:
        try:
            setattr(message, name, binascii.a2b_base64(value, strict_mode=True))
        except (TypeError, ValueError):
            raise BadField("", "must be a base64 string, as it was received") from None

    def write(message: Any) -> str | None:
        value = getattr(message, name)
        return base64.b64encode(value).decode() if value else None

    return Field(read, write, shape={"type": "string", "contentEncoding": "base64"})


def word(name: str, words: Mapping[str, int]) -> Field:
    """Return the row of an enum by its words; the zero value is absent."""
    spelled = {meaning: spelling for spelling, meaning in words.items()}

    def read(message: Any, value: Any, reading: Reading) -> None:
        meaning = words.get(value) if type(value) is str else None
        if meaning is None:
            raise BadField("", f"must be one of {', '.join(words)}")
        setattr(message, name, meaning)

    return Field(
        read,
        lambda message: spelled.get(getattr(message, name)),
        shape={"type": "string", "enum": list(words)},
    )


def constant(value: str) -> Field:
    """Return the row of a string that tells the kind of its object: always the same."""

    def read(message: Any, given: Any, reading: Reading) -> None:
        if given != value:
            raise BadField("", f"must be {value}")

    return Field(read, lambda message: value, shape={"type": "string", "const": value})


def nested(name: str, table: Table) -> Field:
    """Return the row of an object that is a message of its own."""

    def read(message: Any, value: Any, reading: Reading) -> None:
        inner = getattr(message, name)
        table.read(inner, value, reading)
        inner.SetInParent()  # an empty object is there, too

    def write(message: Any) -> dict[str, Any] | None:
        return table.write(getattr(message, name)) if message.HasField(name) else None

    return Field(read, write, shape=table)


def inline(table: Table) -> Field:
    """Return the row of an object whose fields lie in the enclosing message."""
    return Field(table.read, table.write, shape=table)


def repeated(name: str, table: Table) -> Field:
    """Return the row of an array of objects; an empty one is absent."""

    def read(message: Any, value: Any, reading: Reading) -> None:
        if type(value) is not list:
            raise BadField("", "must be an array of objects")
        messages = getattr(message, name)
        for i, item in enumerate(value):
            try:
                table.read(messages.add(), item, reading)
            except BadField as bad:
                raise bad.below(i) from None

    def write(message: Any) -> list[dict[str, Any]] | None:
        return [table.write(item) for item in getattr(message, name)] or None

    return Field(read, write, shape={"type": "array", "items": table})


def json_text(name: str) -> Field:
    """Return the row of a JSON object that the message keeps as text.

    Reading only checks that it is one: the text itself is cut out of the body afterwards, so that
    it stays as it was written. Writing yields it verbatim, for orjson to serialize.
    """

    def read(message: Any, value: Any, reading: Reading) -> None:
        if type(value) is not dict:
            raise BadField("", "must be an object")

    def write(message: Any) -> orjson.Fragment | None:
        return orjson.Fragment(getattr(message, name)) if message.HasField(name) else None

    return Field(read, write, shape={"type": "object"})


def read_only(row: Field) -> Field:
    """Return a row that is another spelling: read like `row`, never written."""
    return Field(row.read, absent, shape=row.shape)


def ignored(note: str) -> Field:
    """Return the row of a field that is left out, named to the caller; `note` says why."""
    return Field(_never, absent, "ignored", note, {})


def refused(note: str) -> Field:
    """Return the row of a field that must not be there; `note` says what to do instead."""

    def read(message: Any, value: Any, reading: Reading) -> None:
        raise BadField("", note)

    return Field(read, absent, "refused", note, {"type": "null"})


def _never(message: Any, value: Any, reading: Reading) -> None:
    raise AssertionError("a table does not read its ignored fields")
