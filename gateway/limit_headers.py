"""What is left of the caller's limits: OpenAI's headers, as the service sends them in metadata.

These names pass and no others: metadata is between the two of us.
"""

from __future__ import annotations

from collections.abc import Collection
from typing import Any

LIMIT_HEADERS = tuple(
    f"x-ratelimit-{what}-{unit}"
    for unit in ("requests", "tokens")
    for what in ("limit", "remaining", "reset")
)
_NAMES = frozenset(LIMIT_HEADERS)
_LONGEST = 64


def limit_headers(metadata: Collection[tuple[str, Any]] | None) -> dict[str, str]:
    """Return the headers that are in the metadata of an RPC, initial or trailing.

    What a header cannot hold does not pass; of two values of a name the last does that can.
    """
    headers: dict[str, str] = {}
    if metadata is None:
        return headers
    for name, value in metadata:
        if (
            name in _NAMES
            and type(value) is str  # not bytes
            and len(value) <= _LONGEST
            and value.isascii()
            and value.isprintable()
        ):
            headers[name] = value
    return headers
