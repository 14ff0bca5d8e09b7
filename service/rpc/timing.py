"""What a chat call took, as metrics have it: a few times, and one addition for each chunk.

A stream's chunks are not timed: the usual gap between them is known from the first, the last and
how many there were, so that a stream is observed once, at its end.
"""

from __future__ import annotations

from telemetry.metrics import CALL_SECONDS, CHUNK_GAP, FIRST_CONTENT, OVERHEAD, Metrics


class Timing:
    """Of one call that began at `started`, in monotonic seconds as all its times are.

    `first` is when its first content, or its whole answer, was there; `chunks` were written.
    `own` says that it has waited for its providers itself: who has not does not know how long.
    `borrowed` says that the answer was there, or on its way, before the call was.
    """

    __slots__ = ("borrowed", "chunks", "first", "own", "started")

    def __init__(self, started: float) -> None:
        self.started = started
        self.first: float | None = None
        self.chunks = 0
        self.own = True
        self.borrowed = False

    def tell(
        self, metrics: Metrics, method: str, model: str, waited: float, ended: float, *, whole: bool
    ) -> None:
        """Observe the call, once. `whole` says whether all of the answer was given."""
        first = self.first
        if first is None:
            return
        if whole:
            metrics.observe(CALL_SECONDS, ended - self.started, method=method)
        if self.borrowed:
            return
        if self.own:
            metrics.observe(OVERHEAD, max(first - self.started - waited, 0.0), method=method)
        if self.chunks:
            metrics.observe(FIRST_CONTENT, first - self.started, model=model)
            if whole and self.chunks > 1:
                gap = (ended - first) / (self.chunks - 1)
                metrics.observe(CHUNK_GAP, gap, model=model)
