"""A scripted service behind a real gRPC server on a Unix socket, and doors before it."""

from __future__ import annotations

import asyncio
import logging
import tempfile
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from pathlib import Path
from typing import Any

import grpc
import pytest
from llmbase.v1 import chat_completion_pb2 as pb

from gateway.app import Settings
from tests.unit.gateway import scripted_service
from tests.unit.gateway.scripted_service import (
    PATIENCE,
    Gateway,
    Service,
    completion,
    first,
    last,
    more,
)

Open = Callable[..., Awaitable[Gateway]]


async def _whole(request: Any, context: Any) -> pb.ChatCompletion:
    return completion()


async def _stream(request: Any, context: Any) -> AsyncIterator[pb.ChatCompletionChunk]:
    for chunk in (first(), more(), last()):
        yield chunk


class Lines(logging.Handler):
    """The gateway's log as it is written; anything worse than information is a failure."""

    def __init__(self) -> None:
        super().__init__()
        self._records: asyncio.Queue[logging.LogRecord] = asyncio.Queue()

    def emit(self, record: logging.LogRecord) -> None:
        self._records.put_nowait(record)

    async def expect(self, *, status: int) -> dict[str, Any]:
        """Wait for the line of the next request and return it; it must have this status."""
        async with asyncio.timeout(PATIENCE):
            record = await self._records.get()
        line = vars(record)
        assert (record.levelno, record.getMessage()) == (logging.INFO, "request"), line
        assert line["status"] == status
        return line

    def check_empty(self) -> None:
        assert self._records.empty()


@pytest.fixture
async def lines() -> AsyncIterator[Lines]:
    """The log; a test that asks for it must expect every line."""
    lines = Lines()
    log = logging.getLogger("llmbase.gateway")
    before = log.level
    log.addHandler(lines)
    log.setLevel(logging.INFO)
    yield lines
    log.removeHandler(lines)
    log.setLevel(before)
    lines.check_empty()


@pytest.fixture
async def service() -> Service:
    """The script: by default it says Hello."""
    return Service(_whole, _stream)


@pytest.fixture
def short_directory() -> Iterator[Path]:
    """A directory whose path leaves room: a socket's has about a hundred characters."""
    with tempfile.TemporaryDirectory() as directory:
        yield Path(directory)


@pytest.fixture
async def channel(service: Service, short_directory: Path) -> AsyncIterator[grpc.aio.Channel]:
    """A connection to the scripted service."""
    address = f"unix:{short_directory / 's'}"
    server = await scripted_service.serve(service, address)
    async with grpc.aio.insecure_channel(address) as channel:
        yield channel
    await server.stop(None)


@pytest.fixture
async def open_gateway(channel: grpc.aio.Channel, service: Service) -> AsyncIterator[Open]:
    """Opens doors with settings of a test's own; they are closed at its end."""
    doors: list[Gateway] = []

    async def open_gateway(**settings: Any) -> Gateway:
        doors.append(await scripted_service.start(channel, service, Settings(**settings)))
        return doors[-1]

    yield open_gateway
    for gateway in doors:
        await gateway.client.close()
        await gateway.door.stop(0)


@pytest.fixture
async def gateway(open_gateway: Open) -> Gateway:
    """A door with the default settings."""
    return await open_gateway()
