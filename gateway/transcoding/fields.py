"""How one JSON object becomes one message, and back, by a table of rows. Pure; knows no field.

A row reads one JSON value into a message and writes it back. Paths are built only when something
is wrong: a `BadField` collects its keys on the way out.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Literal

# Documents may nest this deep; the outermost object counts as one.
MAX_DEPTH = 64
# A path shows this much of a key: some keys (metadata's, unknown ones) are the caller's own.
_KEY_SHOWN = 64


class BadField(Exception):
    """A value that no message can hold. `param` is its path, "" for the body as a whole."""

    def __init__(self, param: str, message: str) -> None:
        super().__init__(message)
        self.param = param
        self.message = message

    def __str__(self) -> str:
        return f"{self.param}: {self.message}" if self.param else self.message

    def below(self, key: str | int) -> BadField:
        """Put the key (or array index) of the enclosing value before the path; return self."""
        step = key[:_KEY_SHOWN] if isinstance(key, str) else f"[{key}]"
        inner = self.param
        self.param = f"{step}.{inner}" if inner and inner[0] != "[" else step + inner
        return self


class Reading:
    """What is learned on the side while one request is read."""

    __slots__ = ("body", "ignored", "include_usage", "stream")

    def __init__(self, body: Mapping[str, Any]) -> None:
        self.body = body
        self.ignored: dict[str, None] = {}
        self.stream = False
        self.include_usage = False


Read = Callable[[Any, Any, Reading], None]
Write = Callable[[Any], Any]


@dataclass(frozen=True, slots=True)
class Field:
    """A row: `read(message, value, reading)` raises BadField; `write(message)` is None if absent.

    A null never reaches a row: it means absent. `fate` and `note` say what becomes of the field;
    `shape` is the JSON Schema of its values, in which a Table stands for the objects it reads.
    One that is read `as_text` is given the text of its value, as bytes: only a request's own can.
    """

    read: Read
    write: Write
    fate: Literal["mapped", "ignored", "refused"] = "mapped"
    note: str = ""
    shape: Any = None
    as_text: bool = False


class Table:
    """The rows of one kind of JSON object.

    `where` is the object's place (`messages[].content[].`), which names its unknown keys and tells
    how deep it lies; keys in `required` must be there and not null.
    """

    __slots__ = ("_reader", "depth", "required", "rows", "where")

    def __init__(
        self, where: str, rows: Mapping[str, Field], *, required: tuple[str, ...] = ()
    ) -> None:
        self.where = where
        self.rows = rows
        self.required = required
        self.depth = 1 + where.count("[]") + where.count(".")
        self._reader = {k: row.read for k, row in rows.items() if row.fate != "ignored"}.get

    def read(self, message: Any, value: Any, reading: Reading) -> None:
        """Read a JSON object into the message. Raises BadField."""
        if type(value) is not dict:
            raise BadField("", "must be an object")
        reader = self._reader
        try:
            for key, item in value.items():
                if item is None:
                    continue
                if (read := reader(key)) is not None:
                    read(message, item, reading)
                else:
                    check_depth(item, self.depth)
                    reading.ignored[self.where + key] = None
        except BadField as bad:
            raise bad.below(key) from None
        for key in self.required:
            if value.get(key) is None:
                raise BadField(key, "is required")

    def write(self, message: Any) -> dict[str, Any]:
        """Return the message as a JSON object."""
        written = ((key, row.write(message)) for key, row in self.rows.items())
        return {key: value for key, value in written if value is not None}


def check_depth(value: Any, above: int) -> None:
    """Raise BadField if the value, inside `above` arrays and objects, nests deeper than allowed."""
    level = [value] if type(value) is dict or type(value) is list else []
    while level:
        above += 1
        if above > MAX_DEPTH:
            raise BadField("", f"must not nest deeper than {MAX_DEPTH} levels")
        level = [
            inner
            for outer in level
            for inner in (outer.values() if type(outer) is dict else outer)
            if type(inner) is dict or type(inner) is list
        ]


def pick(value: Any, tables: Mapping[str, Table]) -> Table:
    """Return the table for an object by its `type`."""
    if type(value) is not dict:
        raise BadField("", "must be an object")
    kind = value.get("type")
    table = tables.get(kind) if type(kind) is str else None
    if table is None:
        raise BadField("type", f"must be one of {', '.join(tables)}")
    return table
