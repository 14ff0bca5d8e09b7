"""A provider's time limits on one attempt, over whatever wire: each ends the call's wait."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Iterator

from service.config import TimeoutsConfig
from service.errors import FaultKind, ProviderFault, TotalLimitExceeded
from service.providers.call import Call

_STREAM_FIRST_CONTENT = 30.0  # seconds, where the configuration is silent


class Limits:
    """Starts the timers of an attempt. What the waits then raise is said in ARCHITECTURE.md."""

    def __init__(self, timeouts: TimeoutsConfig) -> None:
        self._timeouts = timeouts

    def total(self, call: Call) -> asyncio.TimerHandle:
        """Start the limit on the whole attempt; whoever holds the timer cancels it."""
        seconds = self._timeouts.total
        error = TotalLimitExceeded(f"The provider's total time limit of {seconds:g} s ran out.")
        return asyncio.get_running_loop().call_later(seconds, call.wait.end, error)

    @contextlib.contextmanager
    def whole(self, call: Call) -> Iterator[None]:
        """Limit the arrival of a whole answer."""
        total = self.total(call)
        try:
            with _content_within(self._timeouts.first_content, call):
                yield
        finally:
            total.cancel()

    def first_content(self, call: Call) -> contextlib.AbstractContextManager[None]:
        """Limit the arrival of a stream's first content."""
        return _content_within(self._timeouts.first_content or _STREAM_FIRST_CONTENT, call)


@contextlib.contextmanager
def _content_within(seconds: float | None, call: Call) -> Iterator[None]:
    if seconds is None:
        yield
        return
    slow = ProviderFault(FaultKind.SLOW, f"no content within {seconds:g} s")
    timer = asyncio.get_running_loop().call_later(seconds, call.wait.end, slow)
    try:
        yield
    finally:
        timer.cancel()
