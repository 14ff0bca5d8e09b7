"""Something open that several generations use: closed when the last of them lets it go."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Generic, Self, TypeVar

T = TypeVar("T")


class Shared(Generic[T]):
    """`it` is open until `release` was called once for the making and once for every `share`."""

    def __init__(self, it: T, close: Callable[[], Awaitable[None]]) -> None:
        self.it = it
        self._close = close
        self._users = 1

    def share(self) -> Self:
        """Return this, to be released once more."""
        self._users += 1
        return self

    async def release(self) -> None:
        """Let go; the last one closes."""
        self._users -= 1
        if self._users == 0:
            await self._close()
