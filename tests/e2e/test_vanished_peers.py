"""A peer that stops without a word is noticed by its silence, long before any deadline.

Its machine is there and keeps the connection, as a paused virtual machine or a process that hangs
does: only pings tell. The bounds are short here, and gRPC's own bound for a ping (a minute) is far
above the time in which each of these has to end.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import socket
import sys
import time
from collections.abc import AsyncIterator, Callable
from pathlib import Path

import grpc
import pytest

from gateway import connection
from service.config import ServerConfig
from service.providers import llmbase_provider
from service.rpc import door
from tests.support import config
from tests.support.asking import hello
from tests.support.config import KEY
from tests.support.openai_wire import says, stream
from tests.support.processes import Process, running
from tests.support.proto_request import proto_request
from tests.support.scripted_upstream import ScriptedUpstream
from tests.support.scripts import hold
from tests.support.signals import Signal

NOTICED = 30  # seconds; with gRPC's own bound it is more than sixty
ROLE, HEL, *_ = says("Hel", "lo").events()

_SILENT_SERVER = """
import asyncio, grpc

async def never(request, context):
    await asyncio.sleep(600)

class Any(grpc.GenericRpcHandler):
    def service(self, details):
        return grpc.unary_unary_rpc_method_handler(never)

async def main():
    server = grpc.aio.server()
    server.add_generic_rpc_handlers((Any(),))
    print(server.add_insecure_port("127.0.0.1:0"), flush=True)
    await server.start()
    await server.wait_for_termination()

asyncio.run(main())
"""
_CLIENT = """
import sys
import grpc
from llmbase.v1.chat_completion_pb2 import ChatCompletionRequest
from llmbase.v1.chat_completion_pb2_grpc import ChatCompletionServiceStub

target, key, asked = sys.argv[1:]
stub = ChatCompletionServiceStub(grpc.insecure_channel(target))
request = ChatCompletionRequest.FromString(bytes.fromhex(asked))
for _ in stub.StreamChatCompletion(request, metadata=(("authorization", f"Bearer {key}"),)):
    print("chunk", flush=True)
"""


@contextlib.asynccontextmanager
async def _program(text: str, *argv: str) -> AsyncIterator[asyncio.subprocess.Process]:
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-c", text, *argv, stdout=asyncio.subprocess.PIPE
    )
    try:
        yield process
    finally:
        process.kill()
        await process.wait()


async def _line(process: asyncio.subprocess.Process) -> str:
    assert process.stdout is not None
    return (await process.stdout.readline()).decode().strip()


def _until_logged(service: Process, text: str) -> None:
    deadline = time.monotonic() + NOTICED
    while text not in service.log:
        assert time.monotonic() < deadline, service.log
        time.sleep(0.1)


def _of_a_gateway(target: str) -> grpc.aio.Channel:
    return connection.open_channel(target, 2**20)


def _of_a_provider(target: str) -> grpc.aio.Channel:
    return llmbase_provider.open_channel(
        f"grpc://{target}", connect=5, roots=None, user_agent="test"
    )


@pytest.mark.parametrize(
    ("module", "opened"),
    [(connection, _of_a_gateway), (llmbase_provider, _of_a_provider)],
    ids=["gateway", "provider"],
)
async def test_a_call_to_a_server_that_stopped_ends(
    module: object, opened: Callable[[str], grpc.aio.Channel], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "_SILENCE", 1000)
    monkeypatch.setattr(module, "_PATIENCE", 1000)
    async with (
        _program(_SILENT_SERVER) as server,
        opened(f"127.0.0.1:{await _line(server)}") as channel,
    ):
        await channel.channel_ready()
        call = channel.unary_unary("/any/Method")(b"")
        await asyncio.sleep(0.5)  # it is on its way, and answered by nobody
        os.kill(server.pid, signal.SIGSTOP)
        with pytest.raises(grpc.aio.AioRpcError) as ended:
            async with asyncio.timeout(NOTICED):
                await call
    assert ended.value.code() is grpc.StatusCode.UNAVAILABLE


@contextlib.asynccontextmanager
async def _slow_line(port: int, rate: int) -> AsyncIterator[int]:
    """A way to a port of this machine that carries so many bytes a second. Gives its own port."""

    async def pump(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(ConnectionError, asyncio.CancelledError):
            while data := await reader.read(4096):
                writer.write(data)
                await writer.drain()
                await asyncio.sleep(len(data) / rate)
        writer.close()

    async def carry(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        there, back = await asyncio.open_connection("127.0.0.1", port)
        await asyncio.gather(pump(reader, back), pump(there, writer))

    near = socket.socket()
    near.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 32_768)  # else the line's end holds it all
    near.bind(("127.0.0.1", 0))
    async with await asyncio.start_server(carry, sock=near, limit=8192):
        yield near.getsockname()[1]


async def test_an_upload_over_a_slow_line_is_not_taken_for_silence() -> None:
    bounds = {"keepalive_time": "1s", "keepalive_timeout": "1s"}
    options = door.options(ServerConfig.model_validate({"connections": bounds}))
    server = grpc.aio.server(options=options)
    server.add_generic_rpc_handlers((_Length(),))
    port = server.add_insecure_port("127.0.0.1:0")
    await server.start()
    try:
        async with (
            _slow_line(port, rate=100_000) as slow,
            grpc.aio.insecure_channel(f"127.0.0.1:{slow}") as channel,
        ):
            answer = await channel.unary_unary("/any/Length")(b"x" * 500_000, timeout=60)
    finally:
        await server.stop(0)
    assert answer == b"500000"


class _Length(grpc.GenericRpcHandler):
    def service(self, details: grpc.HandlerCallDetails) -> grpc.RpcMethodHandler:
        async def length(request: bytes, context: object) -> bytes:
            return str(len(request)).encode()

        return grpc.unary_unary_rpc_method_handler(length)


async def test_a_stream_of_a_client_that_stopped_is_given_up(
    upstream: ScriptedUpstream, tmp_path: Path
) -> None:
    upstream.on("one", stream(ROLE, HEL, hold(Signal())))
    bounds = {"keepalive_time": "1s", "keepalive_timeout": "1s"}
    path = config.write(config.standard(upstream, connections=bounds), tmp_path)
    asked = proto_request(hello(stream=True)).SerializeToString().hex()
    with running("service", "--config", str(path), directory=tmp_path) as service:
        target = service.wait_until_ready()[1]
        async with _program(_CLIENT, target, KEY, asked) as client:
            assert await _line(client) == "chunk"
            os.kill(client.pid, signal.SIGSTOP)
            await asyncio.to_thread(_until_logged, service, '"outcome":"CANCELLED"')
        assert service.stop() == 0, service.log
