"""What a chat call took, as metrics have it: a few times, and one addition for each chunk.

A stream's chunks are not timed: the usual gap between them is known from the first, the last and
how many there were, so that a stream is observed once, at its end.
"""

from __future__ import annotations

from typing import Protocol

from telemetry.metrics import CALL_SECONDS, CHUNK_GAP, FIRST_CONTENT, OVERHEAD, Metrics


class Timed(Protocol):
    """A chat call, as it is when it has ended; see `open_call.OpenCall`."""

    method: str
    model: str
    outcome: str
    started: float
    first: float | None
    chunks: int
    own: bool
    replayed: bool


class Times:
    """The histograms of what calls took."""

    __slots__ = ("_call", "_chunk_gap", "_first_content", "_overhead")

    def __init__(self, metrics: Metrics) -> None:
        self._call = metrics.of(CALL_SECONDS, "method")
        self._overhead = metrics.of(OVERHEAD, "method")
        self._first_content = metrics.of(FIRST_CONTENT, "model")
        self._chunk_gap = metrics.of(CHUNK_GAP, "model")

    def observe(self, call: Timed, waited: float, ended: float) -> None:
        """Observe a call, once. It `waited` so many seconds for others, and ended just now."""
        first, started, method = call.first, call.started, call.method
        if first is None:
            return
        if whole := call.outcome == "OK":
            self._call[(method,)].observe(ended - started)
        if call.replayed:
            return
        if call.own:
            overhead = first - started - waited
            self._overhead[(method,)].observe(overhead if overhead > 0.0 else 0.0)
        if call.chunks:
            self._first_content[(call.model,)].observe(first - started)
            if whole and call.chunks > 1:
                gap = (ended - first) / (call.chunks - 1)
                self._chunk_gap[(call.model,)].observe(gap)
