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
    if metadata is None:
        return {}
    found = [(k, v) for k, v in metadata if k in _NAMES and isinstance(v, str)]
    headers = dict(found)
    if _fits("".join(headers.values())):  # all together, as nearly always
        return headers
    return {key: value for key, value in found if _fits(value)}


def _fits(value: str) -> bool:
    """Whether it can be in a header."""
    return len(value) <= _LONGEST and value.isascii() and value.isprintable()
