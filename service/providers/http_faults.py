"""From an HTTP answer that is not one to the fault it means. Pure.

Classified by its status, and where that blames the request, by the machine words in its body.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import NamedTuple

from service.errors import FaultKind, ProviderFault

# The request itself is at fault: no other target would take it, so the caller is told.
REJECTING = frozenset({400, 413, 422})
# What a machine word can say is at fault instead: our key or account, our model name, the
# provider's load. A 400 of a "server error" contradicts itself, and stays a 400.
_CORRECTING = frozenset({401, 402, 403, 404, 429, 503, 529})

_MOST_TOLD = 500  # characters of the provider's message that reach the caller
_SECRET = re.compile(
    r"\b(?:sk|pk|rk|gsk|xai|key|llmbase)[-_][A-Za-z0-9_*-]{8,}|Bearer\s+[^\s\"']+|\bAIza[\w-]{20,}"
)


class Verdict(NamedTuple):
    """What the body of an HTTP error says: the status to go by, and the seconds to wait, if any."""

    status: int
    retry_after: float | None = None


def weigh(status: int, documented: int | None, retry_after: float | None = None) -> Verdict:
    """Return the status to go by, where the body's machine words stand for `documented`.

    They count only where the HTTP status blames the request and they do not: a wrong key, a spent
    quota or a full server that comes as a 400 is no reason to send the caller away.
    """
    if status in REJECTING and documented in _CORRECTING:
        return Verdict(documented, retry_after)
    return Verdict(status, retry_after)


def from_status(
    status: int, headers: Mapping[str, str], message: str, verdict: Verdict | None = None
) -> ProviderFault:
    """Return the fault for a status that is not 2xx.

    `message` is the provider's own, `verdict` what its body says; a header says better how long
    to wait.
    """
    judged, wait = verdict or Verdict(status)
    asked = retry_after(headers, lambda: datetime.now(UTC))
    return ProviderFault(
        FaultKind.REJECTED if judged in REJECTING else FaultKind.STATUS,
        f"HTTP status {status}" + (f", which means {judged}" if judged != status else ""),
        status=judged,
        told=message,
        retry_after=wait if asked is None else asked,
    )


def redact(message: str, secrets: tuple[str, ...]) -> str:
    """Take out of a provider's message what could be a credential, and bound it."""
    for secret in secrets:
        if secret:
            message = message.replace(secret, "[redacted]")
    message = " ".join(_SECRET.sub("[redacted]", message).split())
    return message if len(message) <= _MOST_TOLD else message[: _MOST_TOLD - 1] + "…"


def retry_after(headers: Mapping[str, str], now: Callable[[], datetime]) -> float | None:
    """Seconds the provider asks to wait: `retry-after-ms`, or `Retry-After` (RFC 9110, 10.2.3)."""
    milliseconds = headers.get("retry-after-ms", "")
    if milliseconds.isascii() and milliseconds.isdigit():
        return int(milliseconds) / 1000
    value = headers.get("Retry-After", "").strip()
    if re.fullmatch(r"\d{1,9}(\.\d+)?", value):
        return float(value)
    try:
        return max(0.0, (parsedate_to_datetime(value) - now()).total_seconds()) if value else None
    except (TypeError, ValueError):
        return None
