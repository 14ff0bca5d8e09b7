"""The same handlers behind three doors: gRPC on a loopback port, in process, and the relay.

What a test asserts through every door is what the other two promise to have in common with the
wire.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any, TypeAlias

import grpc
from google.protobuf.wrappers_pb2 import StringValue

from channel.in_process import InProcessServer
from relay.channel import RelayChannel
from relay.server import RelayServer

SERVICE = "llmbase.test.Talk"
WIRE = "over the wire"
IN_PROCESS = "in process"
RELAY = "over the relay"
LARGEST = 4 * 2**20  # bytes of a message, as gRPC has it by default

Handler: TypeAlias = Callable[[StringValue, Any], Any]


class RelayedServer(RelayServer):
    """Servicers that are called over a relay only: nothing else is on its port."""

    def __init__(self, interceptors: Sequence[grpc.aio.ServerInterceptor] = ()) -> None:
        super().__init__(LARGEST, interceptors)
        self.outer = grpc.aio.server()
        self.open_on(self.outer)

    async def start(self) -> None:
        self.port = self.outer.add_insecure_port("127.0.0.1:0")
        await self.outer.start()

    async def stop(self, grace: float | None) -> None:
        await asyncio.gather(super().stop(grace), self.outer.stop(grace))


@dataclass(frozen=True)
class Door:
    """A server and a channel to it; `ask` calls its unary handler, `listen` its streaming one."""

    kind: str
    server: grpc.aio.Server
    channel: grpc.aio.Channel

    def ask(self, text: str = "", **options: Any) -> Any:
        return self._method(self.channel.unary_unary, "Ask")(text_of(text), **options)

    def listen(self, text: str = "", **options: Any) -> Any:
        return self._method(self.channel.unary_stream, "Listen")(text_of(text), **options)

    def ask_listener(self) -> Any:
        return self._method(self.channel.unary_unary, "Listen")(text_of(""))

    def listen_to_answer(self) -> Any:
        return self._method(self.channel.unary_stream, "Ask")(text_of(""))

    def ask_nobody(self) -> Any:
        return self._method(self.channel.unary_unary, "Missing")(text_of(""))

    def _method(self, kind: Callable[..., Any], name: str) -> Any:
        return kind(
            f"/{SERVICE}/{name}",
            request_serializer=StringValue.SerializeToString,
            response_deserializer=StringValue.FromString,
        )


Open: TypeAlias = Callable[..., Awaitable[Door]]


@asynccontextmanager
async def open_door(
    kind: str,
    ask: Handler | None = None,
    listen: Handler | None = None,
    interceptors: Sequence[grpc.aio.ServerInterceptor] = (),
) -> AsyncIterator[Door]:
    server = make_server(kind, interceptors)
    server.add_generic_rpc_handlers((generic_handler(ask, listen),))
    channel = await start(kind, server)
    try:
        yield Door(kind, server, channel)
    finally:
        await channel.close()
        await server.stop(None)


def make_server(
    kind: str, interceptors: Sequence[grpc.aio.ServerInterceptor] = ()
) -> grpc.aio.Server:
    if kind == IN_PROCESS:
        return InProcessServer(interceptors)
    if kind == RELAY:
        return RelayedServer(interceptors)
    return grpc.aio.server(interceptors=interceptors)


async def start(kind: str, server: grpc.aio.Server) -> grpc.aio.Channel:
    if isinstance(server, RelayedServer):
        await server.start()
        plain = grpc.aio.insecure_channel(f"127.0.0.1:{server.port}")
        channel = RelayChannel(plain, LARGEST)
        await asyncio.wait_for(channel.session.welcomed.wait(), 5)
        return channel
    if isinstance(server, InProcessServer):
        return server.channel()
    port = server.add_insecure_port("127.0.0.1:0")
    await server.start()
    return grpc.aio.insecure_channel(f"127.0.0.1:{port}")


def generic_handler(ask: Handler | None, listen: Handler | None) -> grpc.GenericRpcHandler:
    codec = (StringValue.FromString, StringValue.SerializeToString)
    methods: dict[str, grpc.RpcMethodHandler[Any, Any]] = {}
    if ask is not None:
        methods["Ask"] = grpc.unary_unary_rpc_method_handler(ask, *codec)
    if listen is not None:
        methods["Listen"] = grpc.unary_stream_rpc_method_handler(listen, *codec)
    return grpc.method_handlers_generic_handler(SERVICE, methods)


def text_of(text: str) -> StringValue:
    return StringValue(value=text)


async def texts(call: Any) -> list[str]:
    """All messages of a stream."""
    return [message.value async for message in call]


async def failure(call: Awaitable[Any]) -> grpc.aio.AioRpcError:
    """The error with which the call, or whatever is awaited, fails."""
    try:
        outcome = await call
    except grpc.aio.AioRpcError as error:
        return error
    raise AssertionError(f"no failure but {outcome!r}")


async def failure_of_stream(call: Any) -> grpc.aio.AioRpcError:
    """The error at the end of a stream, after whatever messages come before it."""
    return await failure(texts(call))


async def soon(event: asyncio.Event) -> None:
    """Waits for what must happen, and not for ever."""
    await asyncio.wait_for(event.wait(), 5)


async def result_of(awaitable: Awaitable[Any]) -> Any:
    """A coroutine out of any awaitable, for `create_task`."""
    return await awaitable
