"""What an open stream costs `llmbase up`: memory while it is open, CPU to open it and per chunk.

    .venv/bin/python -m tests.bench.streams_cost                         1000 streams over REST
    .venv/bin/python -m tests.bench.streams_cost --door grpc --streams 2000 --rate 5

The provider is a process of its own that sends every stream `--rate` chunks a second; clients are
in this one. Only the CPU and the memory of the product's own process are looked at. `ulimit -n`
has to be three times the streams.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar, cast

import uvloop
from llmbase.v1.chat_completion_pb2 import ChatCompletionRequest

from tests.support import config as configuration
from tests.support.config import KEY
from tests.support.grpc_door import GrpcDoor
from tests.support.processes import running
from tests.support.proto_request import proto_request

_HEAD = b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n"
_BODY = {"model": "m", "stream": True, "messages": [{"role": "user", "content": "Hello"}]}
_AT_ONCE = 100  # streams that are opened; a burst would only measure the queue of connections
_CONNECTIONS = 8  # of gRPC clients, who share the streams


def _event(delta: dict[str, str]) -> bytes:
    chunk = {
        "id": "chatcmpl-0123456789",
        "object": "chat.completion.chunk",
        "created": 1_741_000_000,
        "model": "m",
        "choices": [{"index": 0, "delta": delta, "finish_reason": None}],
    }
    data = b"data: " + json.dumps(chunk).encode() + b"\n\n"
    return b"%x\r\n%b\r\n" % (len(data), data)


class Provider(asyncio.Protocol):
    """One connection to the provider: any request gets a stream that never ends."""

    every: ClassVar[set[Provider]] = set()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Keep what to write to."""
        self.transport = cast(asyncio.Transport, transport)  # uvloop's is none by name

    def data_received(self, data: bytes) -> None:
        """Begin: a request has come, or part of one."""
        if self not in self.every:
            self.every.add(self)
            self.transport.write(_HEAD + _event({"role": "assistant", "content": "Hi"}))

    def connection_lost(self, error: Exception | None) -> None:
        """Forget it."""
        self.every.discard(self)


async def provide(rate: float) -> None:
    """Be the provider, until this process is killed; says its port."""
    loop = asyncio.get_running_loop()
    server = await loop.create_server(Provider, "127.0.0.1", 0, backlog=4096)
    print(server.sockets[0].getsockname()[1], flush=True)
    event = _event({"content": "word "})
    while True:
        began = loop.time()
        # A little at a time, as streams that know nothing of each other come.
        for i, stream in enumerate(tuple(Provider.every)):
            if stream in Provider.every and not stream.transport.is_closing():
                stream.transport.write(event)
            if i % 50 == 49:
                await asyncio.sleep(0)
        await asyncio.sleep(max(0.0, 1 / rate - (loop.time() - began)))


class Counts:
    """Chunks that have arrived, and streams that have begun."""

    chunks = 0
    begun = 0


async def rest(url: str, counts: Counts) -> None:
    """Read a stream over REST for as long as it goes; raw, for this process is not measured."""
    host, _, port = url.removeprefix("http://").partition(":")
    body = json.dumps(_BODY).encode()
    reader, writer = await asyncio.open_connection(host, int(port))
    head = f"POST /v1/chat/completions HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {KEY}\r\n"
    head += f"Content-Type: application/json\r\nContent-Length: {len(body)}\r\n\r\n"
    try:
        writer.write(head.encode() + body)
        first = True
        while data := await reader.read(65536):
            found = data.count(b"data: ")
            assert found or b"200 OK" in data or data.startswith(b":"), data
            counts.chunks += found
            counts.begun += first and found > 0
            first = first and not found
    finally:
        writer.close()


async def grpc(door: GrpcDoor, request: ChatCompletionRequest, counts: Counts) -> None:
    """Read a stream over gRPC for as long as it goes."""
    first = True
    async for _ in door.chat.StreamChatCompletion(request, metadata=door.metadata()):
        counts.chunks += 1
        counts.begun += first
        first = False


@dataclass(frozen=True)
class Use:
    """What a process has used: CPU in seconds, memory in bytes."""

    cpu: float
    memory: int

    @classmethod
    def of(cls, pid: int) -> Use:
        """Look at a process."""
        stat = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
        cpu = (int(stat[11]) + int(stat[12])) / os.sysconf("SC_CLK_TCK")
        return cls(cpu, int(stat[21]) * os.sysconf("SC_PAGE_SIZE"))


@contextlib.asynccontextmanager
async def reading(
    door: str, streams: int, http: str, target: str
) -> AsyncIterator[tuple[Counts, list[asyncio.Task[None]]]]:
    """Have so many streams open, begun all, inside the block."""
    counts, tasks = Counts(), []
    request = proto_request(_BODY)
    own = (("grpc.use_local_subchannel_pool", 1),)
    async with contextlib.AsyncExitStack() as stack:
        doors = [
            await stack.enter_async_context(GrpcDoor(target, KEY, own)) for _ in range(_CONNECTIONS)
        ]
        for i in range(streams):
            read = rest(http, counts) if door == "rest" else grpc(doors[i % 8], request, counts)
            tasks.append(asyncio.create_task(read))
            while i - counts.begun > _AT_ONCE:
                await asyncio.sleep(0.01)
                assert not any(task.done() for task in tasks), "a stream has ended"
        while counts.begun < streams:
            await asyncio.sleep(0.05)
            assert not any(task.done() for task in tasks), "a stream has ended"
        yield counts, tasks
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


async def measure(door: str, streams: int, seconds: float, pid: int, http: str, at: str) -> None:
    """Open the streams, let them run, and say what it cost."""
    async with reading(door, 20, http, at):  # what is loaded at the first call is no stream's
        await asyncio.sleep(1)
    before = Use.of(pid)
    async with reading(door, streams, http, at) as (counts, tasks):
        opened, chunks, began = Use.of(pid), counts.chunks, time.monotonic()
        await asyncio.sleep(seconds)
        after, taken = Use.of(pid), time.monotonic() - began
        arrived = counts.chunks - chunks
        assert not any(task.done() for task in tasks), "a stream has ended"
    per = {
        "KiB of memory per open stream": (after.memory - before.memory) / streams / 1024,
        "us of CPU to open one (and its chunks meanwhile)": (opened.cpu - before.cpu)
        / streams
        * 1e6,
        "us of CPU per chunk": (after.cpu - opened.cpu) / max(1, arrived) * 1e6,
        "chunks per second": arrived / taken,
        "MiB of memory without streams": before.memory / 2**20,
        "cores in use": (after.cpu - opened.cpu) / taken,
    }
    print(f"{streams} streams over {door}:")
    for name, value in per.items():
        print(f"  {value:10.1f} {name}")


def _config(port: int) -> dict[str, object]:
    return {
        "server": {"grpc": "127.0.0.1:0", "drain": "1s"},
        "store": None,
        "admission": {"max_in_flight": 100_000},
        "providers": {"p": configuration.provider(f"http://127.0.0.1:{port}/v1", total="600s")},
        "models": {"m": configuration.model(("p", "m"))},
        "keys": [configuration.key_entry("all", KEY, ["*"])],
    }


def main() -> None:
    """Start the provider and the product, and measure."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--door", choices=["rest", "grpc"], default="rest")
    parser.add_argument("--streams", type=int, default=1000)
    parser.add_argument("--rate", type=float, default=2.0)
    parser.add_argument("--seconds", type=float, default=10.0)
    parser.add_argument("--provide", action="store_true", help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.provide:
        uvloop.run(provide(given.rate))
    command = [sys.executable, "-m", "tests.bench.streams_cost", "--provide"]
    with (
        tempfile.TemporaryDirectory() as name,
        subprocess.Popen(
            [*command, "--rate", str(given.rate)], stdout=subprocess.PIPE, text=True
        ) as provider,
    ):
        try:
            assert provider.stdout is not None
            directory = Path(name)
            path = configuration.write(_config(int(provider.stdout.readline())), directory)
            flags = ("--http", "127.0.0.1:0", "--grpc", "127.0.0.1:0", "--log-level", "warning")
            with running("up", "--config", str(path), *flags, directory=directory) as up:
                http, _, target = up.wait_until_ready()
                run = measure(given.door, given.streams, given.seconds, up.pid, http, target)
                uvloop.run(run)
        finally:
            provider.kill()


if __name__ == "__main__":
    main()
