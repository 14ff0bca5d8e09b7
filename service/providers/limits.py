"""A provider's time limits on one attempt, over whatever wire: each ends the call's wait."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from service.config import TimeoutsConfig
from service.errors import FaultKind, ProviderFault, TotalLimitExceeded
from service.providers.call import Call, Wait

_STREAM_FIRST_CONTENT = 30.0  # seconds, where the configuration is silent


class Limit:
    """Gives attempts so many seconds, and then ends their waits with what `error` makes of those.

    All are given equally long, so that those which began first are met first: for all of them
    there is one timer, of the first that ran when it was set.
    """

    def __init__(self, seconds: float, error: Callable[[float], Exception]) -> None:
        self._seconds = seconds
        self._error = error
        # When each is met, in the loop's time; those that began first come first.
        self._running: dict[Wait, float] = {}
        self._timer: asyncio.TimerHandle | None = None

    def start(self, call: Call) -> None:
        """Limit what the call waits for from now on, until its wait is let go."""
        loop = call.loop
        at = self._running[call.wait] = loop.time() + self._seconds
        if self._timer is None:
            self._timer = loop.call_at(at, self._fire, loop)

    def let_go(self, wait: Wait) -> None:
        """Do not end the wait, if it has not been ended yet."""
        self._running.pop(wait, None)

    def _fire(self, loop: asyncio.AbstractEventLoop) -> None:
        """End the waits whose time is over; come again for the next."""
        self._timer = None
        now = loop.time()
        for wait, at in list(self._running.items()):
            if at > now:
                self._timer = loop.call_at(at, self._fire, loop)
                return
            self.let_go(wait)
            wait.end(self._error(self._seconds))


class Limits:
    """The limits on an attempt: on all of it, a `whole` answer and a stream's `first_content`.

    What the waits then raise is said in ARCHITECTURE.md.
    """

    def __init__(self, timeouts: TimeoutsConfig) -> None:
        content = timeouts.first_content
        self.total = Limit(timeouts.total, _out_of_time)
        self.first_content = Limit(content or _STREAM_FIRST_CONTENT, _slow)
        # A whole answer is there with its first content: the limit that is met first will do.
        by_content = content is not None and content < timeouts.total
        self.whole = self.first_content if by_content else self.total


def _out_of_time(seconds: float) -> TotalLimitExceeded:
    return TotalLimitExceeded(f"The provider's total time limit of {seconds:g} s ran out.")


def _slow(seconds: float) -> ProviderFault:
    return ProviderFault(FaultKind.SLOW, f"no content within {seconds:g} s")
