"""Fetches images for providers that take bytes only, and nothing else from nowhere else.

A URL comes from a caller, so it must not reach what only we can reach, nor cost what the caller
does not pay: addresses, redirects, sizes, numbers, types and time are all bounded.
"""

from __future__ import annotations

import asyncio
import base64
import ssl
from collections.abc import Callable, Iterator, Mapping

import aiohttp
from aiohttp.abc import AbstractResolver
from llmbase.v1.chat_completion_pb2 import ChatCompletionRequest, ImageUrl
from yarl import URL

from service.config import ImagesConfig
from service.errors import InvalidRequest
from service.providers.name_lookup import NameLookup
from service.providers.public_addresses import is_public, only

_REDIRECTS = 3
_MOST_IMAGES = 100  # in one request; providers that take bytes only take far fewer
_LARGEST_TOTAL = 4  # times the largest image: what all of one request may weigh
_AT_ONCE = 8  # of one request
_CONNECTIONS = 32  # of all requests
_MOVED = (301, 302, 303, 307, 308)
_TYPES = {
    b"\x89PNG\r\n\x1a\n": "image/png",
    b"\xff\xd8\xff": "image/jpeg",
    b"GIF87a": "image/gif",
    b"GIF89a": "image/gif",
}


class ImageFetcher:
    """Puts the content of images in the place of their URLs. Needs a running loop.

    `may_reach` decides about addresses where private networks are off; `resolver` and `tls` stand
    in for the system's resolver and certificates.
    """

    def __init__(
        self,
        config: ImagesConfig,
        *,
        may_reach: Callable[[str], bool] = is_public,
        resolver: AbstractResolver | None = None,
        tls: ssl.SSLContext | bool = True,
    ) -> None:
        self._config = config
        self._resolver = resolver or NameLookup(config.timeout)
        self._session = aiohttp.ClientSession(
            connector=aiohttp.TCPConnector(
                resolver=self._resolver,
                # Not a check of the URL or of the resolver's answer: aiohttp asks no resolver
                # about an address, and what it takes for one is its own affair.
                socket_factory=only(_any if config.private_networks else may_reach),
                limit=_CONNECTIONS,
                ssl=tls,
            ),
            cookie_jar=aiohttp.DummyCookieJar(),
            timeout=aiohttp.ClientTimeout(),  # one limit holds for all that a fetch does, below
            # A compressed bomb is small until it is decompressed.
            auto_decompress=False,
            headers={"Accept": "image/*", "Accept-Encoding": "identity", "User-Agent": "llmbase"},
        )

    async def inline(self, request: ChatCompletionRequest) -> ChatCompletionRequest:
        """Return the request, or a copy in which every `https:` image is a `data:` one.

        Raises InvalidRequest, naming the image, for what cannot or must not be fetched.
        """
        paths: dict[str, str] = {}  # the same image is fetched once
        for path, image in _to_fetch(request):
            paths.setdefault(image.url, path)
        if not paths:
            return request
        first, *_ = paths.values()
        if not self._config.fetch:
            raise InvalidRequest(first, "must be a data: URL: images are not fetched here")
        if len(paths) > _MOST_IMAGES:
            raise InvalidRequest(
                first, f"is one of more than {_MOST_IMAGES} images that would have to be fetched"
            )
        contents = await self._fetch_all(paths)
        copy = ChatCompletionRequest()
        copy.CopyFrom(request)
        for _, image in _to_fetch(copy):
            image.url = contents[image.url]
        return copy

    async def close(self) -> None:
        """Close the connections."""
        await self._session.close()
        await self._resolver.close()

    async def _fetch_all(self, paths: Mapping[str, str]) -> dict[str, str]:
        """Fetch every URL; the first that fails ends the others."""
        batch = _Batch(self._config.max_bytes)
        loop = asyncio.get_running_loop()
        # Not a TaskGroup: Python 3.11's and 3.12's leaves the caller's count of cancellations
        # changed, on which the limits of a call rely.
        tasks = [loop.create_task(self._fetch(url, path, batch)) for url, path in paths.items()]
        try:
            contents = await asyncio.gather(*tasks)
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.wait(tasks)
        return dict(zip(paths, contents, strict=True))

    async def _fetch(self, url: str, path: str, batch: _Batch) -> str:
        try:
            async with asyncio.timeout(self._config.timeout), batch.turns:
                content = await self._get(URL(url), path, batch)
        except TimeoutError:
            raise InvalidRequest(
                path, f"could not be fetched within {self._config.timeout:g} s"
            ) from None
        except (aiohttp.ClientError, OSError, ValueError):
            raise InvalidRequest(path, "could not be fetched") from None
        kind = _type_of(content)
        if kind is None:
            raise InvalidRequest(path, "must be a PNG, JPEG, GIF or WebP image")
        return f"data:{kind};base64,{base64.b64encode(content).decode()}"

    async def _get(self, url: URL, path: str, batch: _Batch) -> bytes:
        for _ in range(_REDIRECTS + 1):
            if url.scheme != "https" or not url.host or url.user or url.password:
                raise InvalidRequest(path, "must lead to an https: URL without credentials")
            async with self._session.get(url, allow_redirects=False) as response:
                if response.status in _MOVED and "Location" in response.headers:
                    url = url.join(URL(response.headers["Location"]))
                    continue
                if response.status != 200:
                    raise InvalidRequest(
                        path, f"could not be fetched: its server says {response.status}"
                    )
                return await _read(response, path, batch)
        raise InvalidRequest(path, f"redirects more than {_REDIRECTS} times")


class _Batch:
    """What the images of one request share: turns to be fetched, and room in memory."""

    def __init__(self, largest: int) -> None:
        self.turns = asyncio.Semaphore(_AT_ONCE)
        self.largest = largest
        self._room = largest * _LARGEST_TOTAL

    def check(self, size: int, path: str) -> None:
        """Raise InvalidRequest for an image of more than `largest` bytes."""
        if size > self.largest:
            raise InvalidRequest(path, f"must be an image of at most {self.largest} bytes")

    def take(self, size: int, path: str) -> None:
        """Use up room. Raises InvalidRequest when there is none left."""
        self._room -= size
        if self._room < 0:
            raise InvalidRequest(
                path,
                f"is one of images of more than {self.largest * _LARGEST_TOTAL} bytes together",
            )


def _to_fetch(request: ChatCompletionRequest) -> Iterator[tuple[str, ImageUrl]]:
    """Yield every image that is not here yet, after the path of its URL."""
    for i, message in enumerate(request.messages):
        for j, part in enumerate(message.content):
            if part.HasField("image_url") and part.image_url.url[:8].lower() == "https://":
                yield f"messages[{i}].content[{j}].image_url.url", part.image_url


async def _read(response: aiohttp.ClientResponse, path: str, batch: _Batch) -> bytes:
    """Read a body. A server's word for its length can only shorten the wait for a refusal."""
    batch.check(response.content_length or 0, path)
    pieces, size = [], 0
    async for piece in response.content.iter_any():
        size += len(piece)
        batch.check(size, path)
        batch.take(len(piece), path)
        pieces.append(piece)
    return b"".join(pieces)


def _any(address: str) -> bool:
    return True


def _type_of(content: bytes) -> str | None:
    """Return the image's type by its first bytes: a server's word for it is not asked."""
    for magic, kind in _TYPES.items():
        if content.startswith(magic):
            return kind
    if content[:4] == b"RIFF" and content[8:12] == b"WEBP":
        return "image/webp"
    return None
