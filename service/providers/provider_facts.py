"""What spans say of a provider: whose API it speaks, in OpenTelemetry's words, and where it is."""

from __future__ import annotations

from urllib.parse import SplitResult, urlsplit

from telemetry.spans import PROVIDER_NAME, SERVER_ADDRESS, SERVER_PORT, Attribute
from telemetry.tracing import Attributes, Value

# The conventions' names for dialects that we call otherwise; the rest go by ours.
_WELL_KNOWN = {
    "azure": "azure.ai.openai",
    "bedrock": "aws.bedrock",
    "gemini": "gcp.gemini",
    "mistral": "mistral_ai",
    "vertex": "gcp.vertex_ai",
    "xai": "x_ai",
}
_PORTS = {"http": 80, "https": 443}


def provider_facts(dialect: str, base_url: str | None) -> Attributes:
    """Return what is known; `base_url` is None for an engine of our own, which is nowhere else."""
    facts: dict[Attribute, Value] = {PROVIDER_NAME: _WELL_KNOWN.get(dialect, dialect)}
    if base_url is None:
        return facts
    if base_url.startswith("unix:"):
        return facts | {SERVER_ADDRESS: base_url.removeprefix("unix:")}
    parts = urlsplit(base_url)  # whose host has no user and password, and whose path is not told
    if parts.hostname:
        facts[SERVER_ADDRESS] = parts.hostname
        port = _port(parts)
        if port is not None:
            facts[SERVER_PORT] = port
    return facts


def _port(parts: SplitResult) -> int | None:
    try:
        return parts.port or _PORTS.get(parts.scheme)
    except ValueError:  # there is something else in its place: it is for the first call to say so
        return None
