"""Recorded answers of providers, by name, for tests to walk through."""

from __future__ import annotations

from conformance.recordings import Recording
from tests.support.shared import require_shared, shared_names, shared_path


def recording(name: str) -> Recording:
    """The recording of that name; skips the test (or fails it) when there is none."""
    return Recording(require_shared("traffic", name))


def recorded_chats() -> list[str]:
    """Names of all recorded chats in OpenAI's format; one empty name where there are none."""
    return recorded_in("openai")


def recorded_in(*dialects: str) -> list[str]:
    """Names of all recorded chats in these dialects; one empty name where there are none."""
    names = shared_names("traffic", pattern="*/*/meta.json")
    cases = [name.removesuffix("/meta.json") for name in names]
    return [
        name
        for name in cases
        if not name or (_at(name).meta["kind"] == "chat" and _at(name).meta["dialect"] in dialects)
    ]


def recorded_streams(at_most: int | None = None) -> list[str]:
    """Names of the recorded streams; with a limit, of those up to so many bytes."""
    return [
        name
        for name in recorded_chats()
        if not name
        or (_at(name).streamed and (at_most is None or _at(name).meta["response_bytes"] <= at_most))
    ]


def _at(name: str) -> Recording:
    return Recording(shared_path("traffic", name))
