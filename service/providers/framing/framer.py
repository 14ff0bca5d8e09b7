"""What a framer is: bytes in, whole events out, however the bytes were split. Pure."""

from __future__ import annotations

from typing import NamedTuple, Protocol


class Event(NamedTuple):
    """One event of a stream: its name ("" where the framing has none) and its payload."""

    name: str
    data: bytes


class Framer(Protocol):
    """Cuts a stream of bytes into events, however the bytes were split."""

    def feed(self, data: bytes) -> list[Event]:
        """Return the events that `data` completes. Raises ProviderFault when one is too large."""
        ...

    def end(self) -> list[Event]:
        """Return what the end of the bytes completes: an event whose last line break is missing."""
        ...
