"""Flow control of one call: who reads slowly is sent no more than a window beyond what it has read.

It is counted in bytes. What has been sent and not been read is in nobody's way: other calls have
credit of their own.
"""

from __future__ import annotations


class Window:
    """The reader's end: what it owes the sender for having read.

    It is given in halves of the window, so that a frame of credit is not sent for every message.
    """

    __slots__ = ("_half", "_owed")

    def __init__(self, window: int) -> None:
        self._half = window // 2
        self._owed = 0

    def read(self, size: int) -> int:
        """Counts what has been read. Returns the credit to give now, mostly none."""
        self._owed += size
        if self._owed < self._half:
            return 0
        owed, self._owed = self._owed, 0
        return owed
