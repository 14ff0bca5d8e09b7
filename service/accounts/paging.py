"""Pages of a list: a token is the keys of the last row, so that rows may come and go. Pure."""

from __future__ import annotations

import base64
import binascii
from collections.abc import Sequence

import orjson

from service.errors import InvalidRequest

USUAL = 100
MOST = 1000


def to_token(values: Sequence[str]) -> str:
    """Return what asks for the rows after the one that these values order."""
    return base64.urlsafe_b64encode(orjson.dumps(values)).decode()


def from_token(token: str, count: int) -> tuple[str, ...] | None:
    """Return the values that a token was made of; None: it is empty. Raises InvalidRequest."""
    if not token:
        return None
    try:
        values = orjson.loads(base64.b64decode(token, altchars=b"-_", validate=True))
    except (binascii.Error, ValueError):
        values = None
    if (
        not isinstance(values, list)
        or len(values) != count
        or not all(isinstance(value, str) and value.isprintable() for value in values)
    ):
        raise InvalidRequest(
            "page_token", "must be `next_page_token` of the page before, asked in the same way"
        )
    return tuple(values)
