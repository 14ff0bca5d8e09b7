"""How a provider knows us: what an outgoing request gets besides what its dialect says.

Nothing here waits for a token while a request waits, but for the very first one: tokens are
fetched again, in the background, before they expire.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from typing import Protocol
from urllib.parse import quote

from service.errors import FaultKind, ProviderFault

_LOG = logging.getLogger("llmbase.credentials")
_AHEAD = 300.0  # seconds before its end at which a token is fetched again
_PAUSE = 10.0  # seconds between two tries to fetch a token again


class Credentials(Protocol):
    """Authorizes one request. `url` is what will be asked for, its path as it goes on the wire."""

    async def authorize(
        self, url: str, headers: Mapping[str, str], body: bytes
    ) -> tuple[str, Mapping[str, str]]:
        """Return the URL and all headers to send. Raises ProviderFault when there is no token."""
        ...

    async def close(self) -> None:
        """Stop what runs in the background."""
        ...


class StaticHeaders:
    """The same headers for every request: a bearer key, a key in a header of its own, or none."""

    def __init__(self, headers: Mapping[str, str]) -> None:
        self._headers = dict(headers)

    async def authorize(
        self, url: str, headers: Mapping[str, str], body: bytes
    ) -> tuple[str, Mapping[str, str]]:
        """Add the headers."""
        return url, {**headers, **self._headers}

    async def close(self) -> None:
        """Nothing runs."""


class QueryKey:
    """A key in the URL's query, for endpoints that know no other way."""

    def __init__(self, name: str, key: str) -> None:
        self._parameter = f"{quote(name, safe='')}={quote(key, safe='')}"

    async def authorize(
        self, url: str, headers: Mapping[str, str], body: bytes
    ) -> tuple[str, Mapping[str, str]]:
        """Add the key to the query."""
        return f"{url}{'&' if '?' in url else '?'}{self._parameter}", headers

    async def close(self) -> None:
        """Nothing runs."""


@dataclass(frozen=True, slots=True)
class Token:
    """A bearer token and when it expires, in Unix seconds."""

    value: str
    expires: float


class BearerToken:
    """A token that expires. `fetch` gets a new one; one fetch at a time."""

    def __init__(
        self, fetch: Callable[[], Awaitable[Token]], now: Callable[[], float] = time.time
    ) -> None:
        self._fetch = fetch
        self._now = now
        self._token: Token | None = None
        self._fetching: asyncio.Task[None] | None = None
        self._next_try = 0.0

    async def authorize(
        self, url: str, headers: Mapping[str, str], body: bytes
    ) -> tuple[str, Mapping[str, str]]:
        """Add the token. Waits for it only when there is none that still holds."""
        now = self._now()
        if self._token is None or self._token.expires <= now:
            await asyncio.shield(self._start())
        elif self._token.expires - _AHEAD <= now and now >= self._next_try:
            self._next_try = now + _PAUSE
            self._start().add_done_callback(_log_failure)
        if self._token is None or self._token.expires <= self._now():
            raise ProviderFault(FaultKind.CONNECT, "no token from the credentials")
        return url, {**headers, "Authorization": f"Bearer {self._token.value}"}

    async def close(self) -> None:
        """End a fetch that is going on."""
        if self._fetching is not None and not self._fetching.done():
            self._fetching.cancel()
            await asyncio.wait([self._fetching])

    def _start(self) -> asyncio.Task[None]:
        if self._fetching is None or self._fetching.done():
            self._fetching = asyncio.get_running_loop().create_task(self._refresh())
        return self._fetching

    async def _refresh(self) -> None:
        try:
            self._token = await self._fetch()
        except Exception as error:
            # The text of a library's error can hold the credentials: its type is enough.
            raise ProviderFault(FaultKind.CONNECT, f"no token: {type(error).__name__}") from None


def _log_failure(fetching: asyncio.Task[None]) -> None:
    if not fetching.cancelled() and (error := fetching.exception()) is not None:
        _LOG.warning("a token could not be fetched again", extra={"detail": str(error)})
