"""W3C Trace Context: which trace a request belongs to, as headers and metadata say it. Pure."""

from __future__ import annotations

import re
from typing import NamedTuple

TRACEPARENT = "traceparent"
TRACESTATE = "tracestate"

# Version 00 has exactly these four parts; a later one may have more, behind another dash.
_PARENT = re.compile(r"([0-9a-f]{2})-([0-9a-f]{32})-([0-9a-f]{16})-([0-9a-f]{2})(-.*)?")
_LONGEST_PARENT = 128
_LONGEST_STATE = 512  # what the recommendation wants everybody to pass on; a longer one is left out


class TraceContext(NamedTuple):
    """A `traceparent` that is valid, and the `tracestate` beside it; empty where there is none."""

    traceparent: str
    tracestate: str = ""

    @property
    def trace_id(self) -> int:
        """The trace, 128 bits."""
        return int(self.traceparent[3:35], 16)

    @property
    def span_id(self) -> int:
        """The span that asks, 64 bits."""
        return int(self.traceparent[36:52], 16)

    @property
    def flags(self) -> int:
        """Eight bits; the lowest says that the trace is sampled."""
        return int(self.traceparent[53:55], 16)

    def entries(self) -> tuple[tuple[str, str], ...]:
        """Return what to send: pairs for headers or metadata."""
        parent = ((TRACEPARENT, self.traceparent),)
        return (*parent, (TRACESTATE, self.tracestate)) if self.tracestate else parent


def parse(traceparent: str | None, tracestate: str | None = None) -> TraceContext | None:
    """Return the context; None where it is absent or not valid: then a trace begins here."""
    if not traceparent or len(traceparent) > _LONGEST_PARENT:
        return None
    match = _PARENT.fullmatch(traceparent)
    if match is None or match[1] == "ff" or (match[1] == "00" and match[5] is not None):
        return None
    if not match[2].strip("0") or not match[3].strip("0"):
        return None
    state = tracestate or ""
    if len(state) > _LONGEST_STATE or not (state.isascii() and (not state or state.isprintable())):
        state = ""
    return TraceContext(traceparent, state)
