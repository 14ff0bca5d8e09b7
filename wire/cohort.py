"""Calls that came in the same turn of the loop go on stage by stage, side by side.

A call runs through far more code than a processor's nearest caches hold. One that runs from end to
end leaves nothing there that the next could use; many that do the same stage one after the other
find its code where the first has brought it. With sixty-four callers that is a sixth of all that an
answer costs. Who comes alone waits for nobody.
"""

from __future__ import annotations

import asyncio
import types
from collections.abc import Generator


class Cohort:
    """Says to the calls of one loop whether there are others to wait for."""

    def __init__(self) -> None:
        # There are others to wait for: of this turn, or of the last that had any.
        self.several = False
        self._arrived = 0  # in this turn
        self._loop: asyncio.AbstractEventLoop | None = None  # of the calls, once there was one

    def arrive(self) -> None:
        """Count a call that begins."""
        if self._arrived:
            self.several = True
        else:
            if self._loop is None:
                self._loop = asyncio.get_running_loop()  # which asks the kernel, each time
            self._loop.call_soon(self._end_turn)
        self._arrived += 1

    @types.coroutine
    def stage(self) -> Generator[None, None, None]:
        """Let the other calls come as far as this one is. Asked for where there are `several`."""
        yield

    def _end_turn(self) -> None:
        self.several = self._arrived > 1
        self._arrived = 0
