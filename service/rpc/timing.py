"""What a chat call took, as metrics have it: a few times, and one addition for each chunk.

A stream's chunks are not timed: the usual gap between them is known from the first, the last and
how many there were, so that a stream is observed once, at its end.
"""

from __future__ import annotations

from telemetry.metrics import CALL_SECONDS, CHUNK_GAP, FIRST_CONTENT, OVERHEAD, Metrics


class Times:
    """The histograms of what calls took."""

    __slots__ = ("call", "chunk_gap", "first_content", "overhead")

    def __init__(self, metrics: Metrics) -> None:
        self.call = metrics.of(CALL_SECONDS, "method")
        self.overhead = metrics.of(OVERHEAD, "method")
        self.first_content = metrics.of(FIRST_CONTENT, "model")
        self.chunk_gap = metrics.of(CHUNK_GAP, "model")


class Timing:
    """Of one call that began at `started`, in monotonic seconds as all its times are.

    `first` is when its first content, or its whole answer, was there; `chunks` were written.
    `own` says that it has waited for its providers itself: who has not does not know how long.
    `borrowed` says that the answer was there, or on its way, before the call was.
    """

    first: float | None = None
    chunks = 0
    own = True
    borrowed = False

    def __init__(self, started: float) -> None:
        self.started = started

    def tell(
        self, times: Times, method: str, model: str, waited: float, ended: float, *, whole: bool
    ) -> None:
        """Observe the call, once. `whole` says whether all of the answer was given."""
        first = self.first
        if first is None:
            return
        if whole:
            times.call[(method,)].observe(ended - self.started)
        if self.borrowed:
            return
        if self.own:
            overhead = first - self.started - waited
            times.overhead[(method,)].observe(overhead if overhead > 0.0 else 0.0)
        if self.chunks:
            times.first_content[(model,)].observe(first - self.started)
            if whole and self.chunks > 1:
                gap = (ended - first) / (self.chunks - 1)
                times.chunk_gap[(model,)].observe(gap)
