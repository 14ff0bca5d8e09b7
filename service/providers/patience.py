"""How long a stream is waited for between its first content and its end: silence, and dripping."""

from __future__ import annotations

import asyncio

from service.config import TimeoutsConfig
from service.errors import FaultKind, ProviderFault
from service.providers.call import Timer, Wait

_WINDOW = 10.0  # seconds of waiting over which a rate is taken


class Patience:
    """Ends the wait for a stream that is silent, or brings too little to ever be over.

    Only the time in which the provider was waited for counts against its rate: a caller that reads
    slowly holds the provider up, and is no reason to give it up.
    """

    __slots__ = (
        "_before",
        "_drip",
        "_idle",
        "_idle_limit",
        "_loop",
        "_since",
        "_waited",
        "_wanted",
    )

    def __init__(self, wait: Wait, timeouts: TimeoutsConfig) -> None:
        self._idle_limit = timeouts.idle
        silent = ProviderFault(FaultKind.SLOW, f"silent for {timeouts.idle:g} s")
        self._idle = Timer(wait, silent)
        self._drip: Timer | None = None
        if timeouts.min_rate is not None:
            drips = f"less than {timeouts.min_rate:g} characters a second for {_WINDOW:g} s"
            self._drip = Timer(wait, ProviderFault(FaultKind.SLOW, drips))
            self._loop = asyncio.get_running_loop()
            self._wanted = timeouts.min_rate * _WINDOW
            self._waited = self._since = 0.0
            self._before = 0  # characters, when the window began

    def begin(self, characters: int) -> None:
        """The stream has brought so many characters, and is waited for from now on."""
        self._idle.start(self._idle_limit)
        if self._drip is None:
            return
        if characters - self._before >= self._wanted:
            self._before, self._waited = characters, 0.0
        self._since = self._loop.time()
        self._drip.start(max(0.0, _WINDOW - self._waited))

    def begin_last(self, seconds: float) -> None:
        """Nothing but the end is waited for, at most so long."""
        self._idle.start(seconds)

    def end(self) -> None:
        """The wait is over, however it ended."""
        self._idle.stop()
        if self._drip is not None:
            self._waited += self._loop.time() - self._since
            self._drip.stop()

    def close(self) -> None:
        """Forget the timers."""
        self._idle.close()
        if self._drip is not None:
            self._drip.close()
