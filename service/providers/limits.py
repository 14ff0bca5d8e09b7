"""A provider's time limits on one attempt, over whatever wire: each ends the call's wait."""

from __future__ import annotations

import asyncio
from types import TracebackType

from service.config import TimeoutsConfig
from service.errors import FaultKind, ProviderFault, TotalLimitExceeded
from service.providers.call import Call, Wait

_STREAM_FIRST_CONTENT = 30.0  # seconds, where the configuration is silent


class Running:
    """Timers that run, and are cancelled at the end of a `with` block."""

    __slots__ = ("_timers",)

    def __init__(self, *timers: asyncio.TimerHandle) -> None:
        self._timers = timers

    def __enter__(self) -> None:
        pass

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        for timer in self._timers:
            timer.cancel()


class Limits:
    """Starts the timers of an attempt. What the waits then raise is said in ARCHITECTURE.md."""

    def __init__(self, timeouts: TimeoutsConfig) -> None:
        self._total = timeouts.total
        self._whole = timeouts.first_content
        self._stream = timeouts.first_content or _STREAM_FIRST_CONTENT

    def total(self, call: Call) -> asyncio.TimerHandle:
        """Start the limit on the whole attempt; whoever holds the timer cancels it."""
        return call.loop.call_later(self._total, _end_whole, call.wait, self._total)

    def whole(self, call: Call) -> Running:
        """Limit the arrival of a whole answer from now on."""
        if self._whole is None:
            return Running(self.total(call))
        if self._whole < self._total:  # then there is no waiting until the other is met
            return Running(_content_within(self._whole, call))
        return Running(self.total(call), _content_within(self._whole, call))

    def first_content(self, call: Call) -> Running:
        """Limit the arrival of a stream's first content from now on."""
        return Running(_content_within(self._stream, call))


def _content_within(seconds: float, call: Call) -> asyncio.TimerHandle:
    return call.loop.call_later(seconds, _end_slow, call.wait, seconds)


# The errors are made when a limit is met: nearly none is.


def _end_whole(wait: Wait, seconds: float) -> None:
    wait.end(TotalLimitExceeded(f"The provider's total time limit of {seconds:g} s ran out."))


def _end_slow(wait: Wait, seconds: float) -> None:
    wait.end(ProviderFault(FaultKind.SLOW, f"no content within {seconds:g} s"))
