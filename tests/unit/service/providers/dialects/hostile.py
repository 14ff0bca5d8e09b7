"""Wrong answers made of right ones: any value in any place, bytes damaged, cut or replaced."""

from __future__ import annotations

import copy
from collections.abc import Iterator
from typing import Any

from hypothesis import strategies as st

Place = tuple[str | int, ...]

WRONG: list[Any] = [
    None,
    True,
    0,
    -1,
    1.5,
    10**30,
    "",
    "x",
    "\ud800",
    [],
    [None],
    [[]],
    {},
    {"a": {}},
]

NO_ANSWERS = [
    b"",
    b" ",
    b"\xff\xfe",
    b"<!doctype html><title>502</title>",
    b"data: {}\n\n",
    b"[DONE]",
    b"null",
    b"0",
    b'"x"',
    b"[]",
    b"{}",
    b'{"message":null}',
    b'{"message":[]}',
    b'{"message":5}',
    b'{"message":{"content":5}}',
    b'{"message":{"tool_calls":[{"function":{}}]}}',
    b"[" * 1_000_000,
    b'{"a":' * 200_000,
    b'{"message":{"content":' + b"[" * 100_000,
    b" " * 1_000_000,
]

ANYTHING = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(st.sampled_from(["message", "content", "type", "a"]), inner, max_size=3)
    ),
    max_leaves=5,
)


def places(value: Any, place: Place = ()) -> Iterator[Place]:
    """Every place in a JSON value."""
    yield place
    items = value.items() if isinstance(value, dict) else ()
    for key, inner in [*items, *(enumerate(value) if isinstance(value, list) else ())]:
        yield from places(inner, (*place, key))


def replaced(value: Any, place: Place, by: Any) -> Any:
    """A copy of a JSON value with another one in the place."""
    if not place:
        return by
    found = copy.deepcopy(value)
    inner = found
    for step in place[:-1]:
        inner = inner[step]
    inner[place[-1]] = by
    return found


def name(place: Place) -> str:
    """The name of a place, for a test's id."""
    return ".".join(map(str, place))


def damaged(data: st.DataObject, body: bytes) -> bytes:
    """The bytes with a few of them cut out or replaced."""
    found = bytearray(body)
    for _ in range(data.draw(st.integers(1, 4))):
        at = data.draw(st.integers(0, len(found) - 1))
        found[at : at + data.draw(st.integers(0, 3))] = data.draw(st.binary(max_size=3))
    return bytes(found)
