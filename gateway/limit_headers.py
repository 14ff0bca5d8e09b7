"""What is left of the caller's limits: OpenAI's headers, as the service sends them in metadata.

These names pass and no others: metadata is between the two of us.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

LIMIT_HEADERS = tuple(
    f"x-ratelimit-{what}-{unit}"
    for unit in ("requests", "tokens")
    for what in ("limit", "remaining", "reset")
)
_NAMES = frozenset(LIMIT_HEADERS)
_LONGEST = 64


def limit_headers(metadata: Iterable[tuple[str, Any]] | None) -> dict[str, str]:
    """Return the headers that are in the metadata of an RPC, initial or trailing."""
    return {
        key: value
        for key, value in (() if metadata is None else metadata)
        if key in _NAMES
        and isinstance(value, str)
        and len(value) <= _LONGEST
        and value.isascii()
        and value.isprintable()
    }
