"""A program: fetches images from a host, and beside them from one that resets what it accepts.

Run as a process of its own by test_resets.py, on uvloop as the service: what went wrong here once
ended the whole process.
"""

from __future__ import annotations

import asyncio
import socket
import struct
import sys
from pathlib import Path

import uvloop
from llmbase.v1.chat_completion_pb2 import ChatCompletionRequest, ImageUrl

from service.config import ImagesConfig
from service.errors import InvalidRequest
from service.providers.images import ImageFetcher
from tests.unit.service.providers.images.image_host import Names, certify

_PNG = b"\x89PNG\r\n\x1a\n" + b"." * 100
_FETCHES = 600
_AT_ONCE = 6  # at each host
_AT_CLOSE_RESET = struct.pack("ii", 1, 0)  # SO_LINGER


class _Resets(asyncio.Protocol):
    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        transport.get_extra_info("socket").setsockopt(
            socket.SOL_SOCKET, socket.SO_LINGER, _AT_CLOSE_RESET
        )
        transport.close()


async def _serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    await reader.readuntil(b"\r\n\r\n")
    head = f"HTTP/1.1 200 OK\r\nContent-Length: {len(_PNG)}\r\nConnection: close\r\n\r\n"
    writer.write(head.encode() + _PNG)
    writer.close()


async def main(directory: Path) -> None:
    """Exit with an error unless every image of the host that works has come."""
    loop = asyncio.get_running_loop()
    of_servers, of_clients = certify(directory)
    works = await asyncio.start_server(_serve, "127.0.0.1", 0, ssl=of_servers)
    resets = await loop.create_server(_Resets, "127.0.0.1", 0)
    fetcher = ImageFetcher(
        ImagesConfig(private_networks=True),
        tls=of_clients,
        resolver=Names(images_test=[["127.0.0.1"]] * 4 * _FETCHES),
    )

    async def fetch(port: int, number: int) -> bool:
        request = ChatCompletionRequest()
        url = f"https://images.test:{port}/{number}"
        request.messages.add().content.add(image_url=ImageUrl(url=url))
        try:
            await fetcher.inline(request)
        except InvalidRequest:
            return False
        return True

    async def ask(port: int) -> int:
        return sum([await fetch(port, number) for number in range(_FETCHES // _AT_ONCE)])

    ports = [server.sockets[0].getsockname()[1] for server in (works, resets)]
    came = await asyncio.gather(*(ask(port) for port in ports for _ in range(_AT_ONCE)))
    await fetcher.close()
    assert sum(came[:_AT_ONCE]) == _FETCHES, came
    assert not any(came[_AT_ONCE:]), came


if __name__ == "__main__":
    uvloop.run(main(Path(sys.argv[1])))
