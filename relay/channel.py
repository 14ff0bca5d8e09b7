"""A grpc.aio channel whose calls share one stream, where both sides can.

Everything else goes, as ever, in a gRPC call of its own over the channel underneath: calls made
while there is no stream, requests that are too large, streams of requests, all calls to a service
that does not know the relay. Callers cannot tell.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from types import TracebackType
from typing import Any, Self

import grpc
from llmbase.relay.v1.relay_pb2_grpc import RelayServiceStub

from channel.calls import UnaryStreamCall, UnaryUnaryCall
from channel.metadata import received
from relay.client_session import ClientSession
from relay.frames import size_of
from relay.keeping import Keeper
from relay.remote_call import RemoteCall

MultiCallable = Callable[..., Any]


class RelayChannel(grpc.aio.Channel):
    """Over `plain`, which it closes with itself. Made inside the running loop.

    `largest_message` is what an answer may have, in bytes: the receive limit of `plain`.
    """

    def __init__(self, plain: grpc.aio.Channel, largest_message: int) -> None:
        relay = RelayServiceStub(plain).Relay
        self._plain = plain
        self._keeper = Keeper(
            lambda: relay(wait_for_ready=True), lambda: ClientSession(largest_message)
        )
        self._keeping = asyncio.get_running_loop().create_task(self._keeper.run())

    @property
    def session(self) -> ClientSession:
        """The stream that is open, or will be."""
        return self._keeper.session

    def unary_unary(
        self,
        method: str,
        request_serializer: Any = None,
        response_deserializer: Any = None,
        _registered_method: bool | None = False,
    ) -> Any:
        """The callable for a method with one answer."""
        plain: MultiCallable = self._plain.unary_unary(method, None, response_deserializer)
        codec = (request_serializer, response_deserializer)
        return _Method(self._keeper, method, codec, plain, UnaryUnaryCall)

    def unary_stream(
        self,
        method: str,
        request_serializer: Any = None,
        response_deserializer: Any = None,
        _registered_method: bool | None = False,
    ) -> Any:
        """The callable for a method with a stream of answers."""
        plain: MultiCallable = self._plain.unary_stream(method, None, response_deserializer)
        codec = (request_serializer, response_deserializer)
        return _Method(self._keeper, method, codec, plain, UnaryStreamCall)

    def stream_unary(self, *arguments: Any, **named: Any) -> Any:
        """As the channel underneath has it: requests are not relayed in pieces."""
        return self._plain.stream_unary(*arguments, **named)

    def stream_stream(self, *arguments: Any, **named: Any) -> Any:
        """As the channel underneath has it: requests are not relayed in pieces."""
        return self._plain.stream_stream(*arguments, **named)

    def get_state(self, try_to_connect: bool = False) -> grpc.ChannelConnectivity:
        """The connection's."""
        return self._plain.get_state(try_to_connect)

    async def wait_for_state_change(self, last_observed_state: grpc.ChannelConnectivity) -> None:
        """Returns when the connection's state is another one."""
        await self._plain.wait_for_state_change(last_observed_state)

    async def channel_ready(self) -> None:
        """Returns when there is a connection; the stream may still be on its way."""
        await self._plain.channel_ready()

    async def close(self, grace: float | None = None) -> None:
        """Takes no more calls; cancels those that have not ended within `grace` seconds."""
        session = self._keeper.session
        session.retire()
        if not grace:
            session.cancel_all()
        if not session.calls:
            await self._stop_keeping()  # else it would be waited for, as a call of `plain`
        try:
            await self._plain.close(grace)
        finally:
            session.cancel_all()
            await self._stop_keeping()

    async def _stop_keeping(self) -> None:
        self._keeping.cancel()
        await asyncio.wait([self._keeping])

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self,
        exc_type: type[BaseException] | None,
        exc_val: BaseException | None,
        exc_tb: TracebackType | None,
    ) -> None:
        await self.close()


class _Method:
    """A stub's method: relayed if it can be, else as `plain` does it."""

    def __init__(
        self,
        keeper: Keeper,
        method: str,
        codec: tuple[Callable[[Any], bytes] | None, Callable[[bytes], Any] | None],
        plain: MultiCallable,
        as_call: Callable[[RemoteCall], Any],
    ) -> None:
        self._keeper = keeper
        self._method = method
        self._serialize, self._deserialize = codec
        self._plain = plain
        self._as_call = as_call

    def __call__(
        self,
        request: Any,
        *,
        timeout: float | None = None,
        metadata: Any = None,
        credentials: grpc.CallCredentials | None = None,
        wait_for_ready: bool | None = None,
        compression: grpc.Compression | None = None,
    ) -> Any:
        data = request if self._serialize is None else self._serialize(request)
        entries = received(metadata)
        session = self._keeper.session
        if credentials is None and session.takes(len(data), size_of(entries)):
            call = session.begin(self._method, data, entries, timeout, self._deserialize)
            return self._as_call(call)
        return self._plain(
            data,
            timeout=timeout,
            metadata=metadata,
            credentials=credentials,
            wait_for_ready=wait_for_ready,
            compression=compression,
        )
