"""What is left of the caller's limits: OpenAI's headers, as the service sends them in metadata.

These names pass and no others: metadata is between the two of us.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable
from typing import Any

LIMIT_HEADERS = tuple(
    f"x-ratelimit-{what}-{unit}"
    for unit in ("requests", "tokens")
    for what in ("limit", "remaining", "reset")
)
_LONGEST = 64


def limit_headers(metadata: Collection[tuple[str, Any]] | None) -> dict[str, str]:
    """Return the headers that are in the metadata of an RPC, initial or trailing."""
    if metadata is None:
        return {}
    given = dict(iter(metadata))  # its entries: as a mapping it would first be made one
    headers = {name: given[name] for name in LIMIT_HEADERS if name in given}
    if _fit(headers.values()):  # as nearly always
        return headers
    return {key: value for key, value in metadata if key in LIMIT_HEADERS and _fit((value,))}


def _fit(values: Iterable[Any]) -> bool:
    """Whether headers can hold them, even together."""
    try:
        together = "".join(values)
    except TypeError:  # bytes
        return False
    return len(together) <= _LONGEST and together.isascii() and together.isprintable()
