"""What a large request leaves behind in the process goes back to the system.

Megabytes are copied on their way: read, as text, as a message, serialized. glibc keeps what was
freed of it while something lies behind it, and the next copy seldom fits by a few bytes: a process
that has two copies at a time holds four. `malloc_trim` gives back whole pages wherever they lie.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from functools import lru_cache

LARGE = 2**20  # bytes of a request from which on it is worth it
# The more lies about in a heap, the longer it is looked through, and everybody waits: no more of
# the time than this share, and where it takes long (seconds), seldom.
_SHARE = 0.1
_LONG, _SELDOM = 0.01, 60.0


class Leftovers:
    """Those of a process. `clock` gives seconds, `worked` those of this thread's own work."""

    def __init__(
        self,
        trim: Callable[[], object],
        clock: Callable[[], float],
        worked: Callable[[], float],
    ) -> None:
        self._trim = trim
        self._clock = clock
        self._worked = worked
        self._next = -float("inf")

    def give_back(self, size: int) -> None:
        """Give back what is free, after a request of so many bytes; nothing for a small one."""
        if size < LARGE or self._clock() < self._next:
            return
        began = self._worked()
        self._trim()
        took = self._worked() - began
        self._next = self._clock() + (took / _SHARE if took < _LONG else _SELDOM)


@lru_cache(1)
def _malloc_trim() -> Callable[[int], object]:
    try:
        import ctypes  # noqa: PLC0415 - only who is sent much has to load it

        trim: Callable[[int], object] = ctypes.CDLL(None).malloc_trim
    except (ImportError, OSError, AttributeError):  # another malloc than glibc's keeps less
        return lambda kept: None
    return trim


LEFTOVERS = Leftovers(lambda: _malloc_trim()(0), time.monotonic, time.thread_time)
