"""From an HTTP answer that is not one to the fault it means. Pure; classified by status alone."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime

from service.errors import FaultKind, ProviderFault

# The request itself is at fault: no other target would take it, so the caller is told.
REJECTING = frozenset({400, 413, 422})

_MOST_TOLD = 500  # characters of the provider's message that reach the caller
_SECRET = re.compile(
    r"\b(?:sk|pk|rk|gsk|xai|key|llmbase)[-_][A-Za-z0-9_*-]{8,}|Bearer\s+[^\s\"']+|\bAIza[\w-]{20,}"
)


def from_status(status: int, headers: Mapping[str, str], message: str) -> ProviderFault:
    """Return the fault for a status that is not 2xx; `message` is the provider's own."""
    return ProviderFault(
        FaultKind.REJECTED if status in REJECTING else FaultKind.STATUS,
        f"HTTP status {status}",
        status=status,
        told=message,
        retry_after=retry_after(headers, lambda: datetime.now(UTC)),
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
