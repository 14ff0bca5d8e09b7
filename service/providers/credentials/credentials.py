"""How a provider knows us, where that takes more than headers that are always the same."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from typing import Protocol
from urllib.parse import quote

from service.providers.credentials.renewed import Renewed


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

    value: str = field(repr=False)
    expires: float


class BearerToken:
    """A token that expires. `fetch` gets a new one; `release` closes, at the end, what it used.

    `provider` is a name for the log, `now` the time in Unix seconds.
    """

    def __init__(
        self,
        provider: str,
        fetch: Callable[[], Awaitable[Token]],
        *,
        release: Callable[[], object] | None = None,
        now: Callable[[], float] = time.time,
    ) -> None:
        self._token = Renewed(
            provider, fetch, lambda token, seconds: token.expires - now() <= seconds
        )
        self._release = release

    async def authorize(
        self, url: str, headers: Mapping[str, str], body: bytes
    ) -> tuple[str, Mapping[str, str]]:
        """Add the token. Waits for it only when there is none that still holds."""
        token = await self._token.get()
        return url, {**headers, "Authorization": f"Bearer {token.value}"}

    async def close(self) -> None:
        """End what runs in the background, and the connections of what fetched the token."""
        await self._token.close()
        if self._release is not None:
            await asyncio.to_thread(self._release)
