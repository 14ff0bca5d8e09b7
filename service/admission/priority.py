"""How urgent a call is, in the words that callers use."""

from __future__ import annotations

import enum
from typing import Final

from service.errors import InvalidRequest

HEADER = "x-llmbase-priority"  # gRPC metadata and, in whatever letters, the HTTP header


class Priority(enum.StrEnum):
    """Whether somebody waits for the answer."""

    INTERACTIVE = "interactive"
    BATCH = "batch"


# What nearly every call has; to look it up in the enumeration costs as much as a call.
USUAL: Final = Priority.INTERACTIVE


def from_text(text: str | None) -> Priority:
    """Return the priority that a caller has set; without one somebody waits.

    Raises InvalidRequest, which names the header.
    """
    if text is None:
        return USUAL
    try:
        return Priority(text.strip().lower())
    except ValueError:
        raise InvalidRequest(HEADER, "must be interactive or batch") from None
