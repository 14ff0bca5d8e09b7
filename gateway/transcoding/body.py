"""A request's body as the values of its keys, some of them as the text they are. Pure.

Of a key that comes twice the last value counts, and the others only have to be JSON by its grammar:
numbers too large and bytes that are no UTF-8 are not found in them.
"""

from __future__ import annotations

from collections.abc import Set
from typing import Any

import msgspec
import orjson

from gateway.transcoding.fields import MAX_DEPTH, BadField

# What is raised for a body that cannot be read, here or by who reads a text: `why` says it.
BROKEN = (msgspec.DecodeError, orjson.JSONDecodeError, UnicodeDecodeError, RecursionError)

_split = msgspec.json.Decoder(dict[str, msgspec.Raw]).decode


def values_of(body: bytes, as_text: Set[str]) -> dict[str, Any]:
    """Return what the keys have; under those of `as_text` the text, in bytes, unless it is null.

    Raises one of BROKEN.
    """
    values: dict[str, Any] = {}
    for key, raw in _split(body).items():
        if key not in as_text:
            values[key] = orjson.loads(memoryview(raw))
        elif (text := bytes(raw)) != b"null":
            values[key] = text
    return values


def why(body: bytes, error: Exception) -> BadField:
    """Say what is wrong with a body for which one of BROKEN was raised."""
    if isinstance(error, RecursionError):
        return BadField("", f"The body must not nest deeper than {MAX_DEPTH} levels.")
    try:
        parsed = orjson.loads(body)  # which tells the place in the whole
    except orjson.JSONDecodeError as place:
        # Not kept in a name: frame and error would hold each other, and so the body.
        return BadField("", f"The body must be valid JSON: {place}")
    else:
        if type(parsed) is not dict:
            return BadField("", "The body must be a JSON object.")
    return BadField("", f"The body must be valid JSON: {error}")
