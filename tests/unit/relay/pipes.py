"""Both ends of a relay without a wire between them, and the messages that pass counted.

What the sessions see is what grpc.aio would give them: `read` ends with EOF, `write` returns when
the message has been taken. Messages are serialized, as on a wire.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any, TypeAlias

import grpc
from google.protobuf.wrappers_pb2 import StringValue
from llmbase.relay.v1.relay_pb2 import RelayRequest, RelayResponse

from channel.calls import UnaryStreamCall, UnaryUnaryCall
from channel.in_process import InProcessServer
from relay.client_session import ClientSession
from relay.server_session import ServerSession
from tests.unit.channel.doors import SERVICE, generic_handler, text_of

LARGEST = 1024 * 1024
Handler: TypeAlias = Callable[[StringValue, Any], Any]


class Way:
    """One direction."""

    def __init__(self, kind: Any) -> None:
        self._kind = kind
        self._queue: asyncio.Queue[Any] = asyncio.Queue()
        self.seen: list[Any] = []
        self.open = asyncio.Event()  # else writes wait
        self.open.set()

    async def write(self, message: Any) -> None:
        await self.open.wait()
        await asyncio.sleep(0)
        self.seen.append(self._kind.FromString(message.SerializeToString()))
        self._queue.put_nowait(self.seen[-1])

    async def read(self) -> Any:
        message = await self._queue.get()
        if isinstance(message, Exception):
            raise message
        return message

    def end(self, how: Any = grpc.aio.EOF) -> None:
        self._queue.put_nowait(how)

    @property
    def frames(self) -> list[Any]:
        return [frame for message in self.seen for frame in message.frames]

    def kinds(self) -> list[str]:
        return [frame.WhichOneof("kind") for frame in self.frames]


class Pipe:
    """A stream: `up` to the server, `down` to the caller."""

    def __init__(self) -> None:
        self.up, self.down = Way(RelayRequest), Way(RelayResponse)
        self.half_closed = asyncio.Event()
        self.cancelled = False

    # The caller's end.

    async def read(self) -> Any:
        return await self.down.read()

    async def write(self, request: Any) -> None:
        await self.up.write(request)

    async def done_writing(self) -> None:
        self.half_closed.set()
        self.up.end()

    def cancel(self) -> None:
        self.cancelled = True


class ServerEnd:
    """The context of the relay's handler."""

    def __init__(self, pipe: Pipe) -> None:
        self.read = pipe.up.read
        self.write = pipe.down.write

    def peer(self) -> str:
        return "the other end"


class Relayed:
    """Two sessions at the ends of a pipe; `ask` and `listen` make calls as stubs do."""

    def __init__(self, **handlers: Handler | None) -> None:
        self.pipe = Pipe()
        self.servicers = InProcessServer()
        handler = generic_handler(handlers.get("ask"), handlers.get("listen"))
        self.servicers.add_generic_rpc_handlers((handler,))
        self.client = ClientSession(LARGEST)
        self.server = ServerSession(self.servicers, LARGEST)
        self.serving = asyncio.create_task(self._serve())
        self.carrying = asyncio.create_task(self.client.run(self.pipe))

    async def _serve(self) -> None:
        await self.server.run(ServerEnd(self.pipe))
        self.pipe.down.end()

    def ask(self, text: str = "", timeout: float | None = None) -> UnaryUnaryCall[Any, Any]:
        return UnaryUnaryCall(self._begin("Ask", text, timeout))

    def listen(self, text: str = "", timeout: float | None = None) -> UnaryStreamCall[Any, Any]:
        return UnaryStreamCall(self._begin("Listen", text, timeout))

    def _begin(self, name: str, text: str, timeout: float | None) -> Any:
        request = text_of(text).SerializeToString()
        decode = StringValue.FromString
        return self.client.begin(f"/{SERVICE}/{name}", request, (), timeout, decode)

    def lose(self, code: grpc.StatusCode = grpc.StatusCode.UNAVAILABLE) -> None:
        """Breaks the stream under both ends."""
        self.pipe.down.end(broken(code))
        self.serving.cancel()

    async def close(self) -> None:
        for task in (self.carrying, self.serving):
            task.cancel()
            await asyncio.wait([task])
        await self.servicers.stop(None)


def broken(code: grpc.StatusCode, details: str = "the line is cut") -> grpc.aio.AioRpcError:
    empty = grpc.aio.Metadata()
    return grpc.aio.AioRpcError(code, empty, empty, details)


@contextlib.asynccontextmanager
async def relayed(**handlers: Handler | None) -> AsyncIterator[Relayed]:
    both = Relayed(**handlers)
    try:
        await both.client.welcomed.wait()
        yield both
    finally:
        await both.close()


async def settled() -> None:
    """Lets everything happen that needs no timer."""
    for _ in range(200):
        await asyncio.sleep(0)


async def outcome(call: Awaitable[Any]) -> Any:
    """What comes out of it, be it an error."""
    try:
        return await call
    except (grpc.aio.AioRpcError, asyncio.CancelledError) as error:
        return error
