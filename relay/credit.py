"""Flow control of one call: who reads slowly is sent no more than a window beyond what it has read.

It is counted in bytes. What has been sent and not been read is in nobody's way: other calls have
credit of their own.
"""

from __future__ import annotations

import asyncio


class Credit:
    """The sender's end: what it may still send."""

    __slots__ = ("_more", "left")

    def __init__(self, credit: int) -> None:
        self.left = credit
        self._more: asyncio.Future[None] | None = None

    def add(self, credit: int) -> None:
        """The reader has read, and lets that much more be sent."""
        self.left += credit
        self.look_again()

    def look_again(self) -> None:
        """Has who waits for more look whether it still does."""
        if self._more is not None and not self._more.done():
            self._more.set_result(None)

    async def change(self) -> None:
        """Returns when there is more, or a reason to look again."""
        self._more = asyncio.get_running_loop().create_future()
        await self._more


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
