"""Fetches images for providers that take bytes only, and nothing else from nowhere else.

A URL comes from a caller, so it must not reach what only we can reach: names are resolved here,
only public addresses are connected to, and every redirect is looked at again.
"""

from __future__ import annotations

import asyncio
import base64
import ipaddress
import socket
from collections.abc import Sequence

import aiohttp
from aiohttp.abc import AbstractResolver, ResolveResult
from aiohttp.resolver import ThreadedResolver
from llmbase.v1.chat_completion_pb2 import ChatCompletionRequest
from yarl import URL

from service.config import ImagesConfig
from service.errors import InvalidRequest

_REDIRECTS = 3
_TYPES = {
    b"\x89PNG\r\n\x1a\n": "image/png",
    b"\xff\xd8\xff": "image/jpeg",
    b"GIF87a": "image/gif",
    b"GIF89a": "image/gif",
}


def is_public(address: str) -> bool:
    """Whether an IP address is one that anybody could reach; also looks inside IPv6 transitions."""
    try:
        ip = ipaddress.ip_address(address.partition("%")[0])
    except ValueError:
        return False
    if isinstance(ip, ipaddress.IPv6Address):
        inner = ip.ipv4_mapped or ip.sixtofour
        if inner is None and ip in ipaddress.ip_network("64:ff9b::/96"):
            inner = ipaddress.IPv4Address(int(ip) & 0xFFFFFFFF)
        if ip.teredo is not None:
            return False
        if inner is not None:
            ip = inner
    return ip.is_global and not ip.is_multicast


class PublicResolver(AbstractResolver):
    """Resolves names to public addresses only; the connection then goes to just those."""

    def __init__(self, resolver: AbstractResolver | None = None) -> None:
        self._resolver = resolver or ThreadedResolver()

    async def resolve(
        self, host: str, port: int = 0, family: socket.AddressFamily = socket.AF_INET
    ) -> list[ResolveResult]:
        """Return the public addresses. Raises OSError where there is none."""
        found = await self._resolver.resolve(host, port, family)
        public = [result for result in found if is_public(result["host"])]
        if not public:
            raise OSError("no public address")
        return public

    async def close(self) -> None:
        """Close the resolver below."""
        await self._resolver.close()


class ImageFetcher:
    """Puts the content of images in the place of their URLs. Needs a running loop."""

    def __init__(
        self, config: ImagesConfig, *, connector: aiohttp.BaseConnector | None = None
    ) -> None:
        self._config = config
        resolver = None if config.private_networks else PublicResolver()
        self._session = aiohttp.ClientSession(
            connector=connector or aiohttp.TCPConnector(resolver=resolver),
            cookie_jar=aiohttp.DummyCookieJar(),
            timeout=aiohttp.ClientTimeout(total=config.timeout),
            headers={"Accept": "image/*", "User-Agent": "llmbase"},
        )

    async def inline(self, request: ChatCompletionRequest) -> ChatCompletionRequest:
        """Return the request, or a copy in which every `https:` image is a `data:` one.

        Raises InvalidRequest, naming the image, for what cannot or must not be fetched.
        """
        found = [
            (i, j, part.image_url.url)
            for i, message in enumerate(request.messages)
            for j, part in enumerate(message.content)
            if part.HasField("image_url") and part.image_url.url[:8].lower() == "https://"
        ]
        if not found:
            return request
        paths = [f"messages[{i}].content[{j}].image_url.url" for i, j, _ in found]
        if not self._config.fetch:
            raise InvalidRequest(paths[0], "must be a data: URL: images are not fetched here")
        urls = [url for _, _, url in found]
        contents = await self._fetch_all(urls, paths)
        copy = ChatCompletionRequest()
        copy.CopyFrom(request)
        for (i, j, _), content in zip(found, contents, strict=True):
            copy.messages[i].content[j].image_url.url = content
        return copy

    async def close(self) -> None:
        """Close the connections."""
        await self._session.close()

    async def _fetch_all(self, urls: Sequence[str], paths: Sequence[str]) -> list[str]:
        try:
            async with asyncio.TaskGroup() as group:
                tasks = [
                    group.create_task(self._fetch(url, path))
                    for url, path in zip(urls, paths, strict=True)
                ]
        except* InvalidRequest as errors:
            raise errors.exceptions[0] from None
        return [task.result() for task in tasks]

    async def _fetch(self, url: str, path: str) -> str:
        try:
            content = await self._get(URL(url), path)
        except (aiohttp.ClientError, OSError, TimeoutError, ValueError):
            raise InvalidRequest(path, "could not be fetched") from None
        kind = _type_of(content)
        if kind is None:
            raise InvalidRequest(path, "must be a PNG, JPEG, GIF or WebP image")
        return f"data:{kind};base64,{base64.b64encode(content).decode()}"

    async def _get(self, url: URL, path: str) -> bytes:
        for _ in range(_REDIRECTS + 1):
            self._check(url, path)
            async with self._session.get(url, allow_redirects=False) as response:
                if response.status in (301, 302, 303, 307, 308):
                    url = url.join(URL(response.headers.get("Location", "")))
                    continue
                if response.status != 200:
                    raise InvalidRequest(
                        path, f"could not be fetched: its server says {response.status}"
                    )
                return await self._read(response, path)
        raise InvalidRequest(path, f"redirects more than {_REDIRECTS} times")

    def _check(self, url: URL, path: str) -> None:
        """Look at a URL, the first or a redirect's: a literal address meets no resolver."""
        if url.scheme != "https" or not url.host or url.user:
            raise InvalidRequest(path, "must lead to an https: URL without credentials")
        if self._config.private_networks:
            return
        literal = url.host.replace(".", "").isdigit() or ":" in url.host
        if literal and not is_public(url.host):
            raise InvalidRequest(path, "could not be fetched")

    async def _read(self, response: aiohttp.ClientResponse, path: str) -> bytes:
        pieces, size = [], 0
        async for piece in response.content.iter_any():
            size += len(piece)
            if size > self._config.max_bytes:
                raise InvalidRequest(
                    path, f"must be an image of at most {self._config.max_bytes} bytes"
                )
            pieces.append(piece)
        return b"".join(pieces)


def _type_of(content: bytes) -> str | None:
    """Return the image's type by its first bytes: a server's word for it is not asked."""
    for magic, kind in _TYPES.items():
        if content.startswith(magic):
            return kind
    if content[:4] == b"RIFF" and content[8:12] == b"WEBP":
        return "image/webp"
    return None
