"""The caller's end: a grpc.aio.Channel whose calls go to the servicers of an in-process server."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable
from types import TracebackType
from typing import Any, Never, Protocol, Self, TypeVar

import grpc

from channel.calls import UnaryStreamCall, UnaryUnaryCall
from channel.metadata import Entries, received
from channel.rpc import Rpc
from channel.status import CANCELLED

Request = TypeVar("Request")
Response = TypeVar("Response")


class Opener(Protocol):
    """The server, as a channel sees it."""

    stopping: bool

    def open(
        self, method: str, request: object, metadata: Entries, timeout: float | None, caller: object
    ) -> Rpc:
        """Begins a call for `caller`, in vain if the server is stopping."""

    def calls_of(self, caller: object) -> Iterable[Rpc]:
        """The caller's calls whose handlers have not ended."""


class InProcessChannel(grpc.aio.Channel):
    """Made by `InProcessServer.channel()`. Closing it cancels its calls."""

    def __init__(self, server: Opener) -> None:
        self._server = server
        self._closed = False
        self._state_changed: list[asyncio.Future[None]] = []

    def begin(self, method: str, request: object, metadata: Any, timeout: float | None) -> Rpc:
        """Begins a call. Raises UsageError on a closed channel, and as `received` for metadata."""
        if self._closed:
            raise grpc.aio.UsageError("Channel is closed.")
        return self._server.open(method, request, received(metadata), timeout, self)

    def unary_unary(
        self,
        method: str,
        request_serializer: Any = None,
        response_deserializer: Any = None,
        _registered_method: bool | None = False,
    ) -> grpc.aio.UnaryUnaryMultiCallable[Any, Any]:
        """The callable for a method with one answer."""
        return _UnaryUnary(self, method)

    def unary_stream(
        self,
        method: str,
        request_serializer: Any = None,
        response_deserializer: Any = None,
        _registered_method: bool | None = False,
    ) -> grpc.aio.UnaryStreamMultiCallable[Any, Any]:
        """The callable for a method with a stream of answers."""
        return _UnaryStream(self, method)

    def stream_unary(self, method: str, *_: Any, **__: Any) -> Never:
        """Not there: nobody streams requests in process."""
        raise NotImplementedError(f"{method}: streams of requests are not supported in process")

    def stream_stream(self, method: str, *_: Any, **__: Any) -> Never:
        """Not there: nobody streams requests in process."""
        raise NotImplementedError(f"{method}: streams of requests are not supported in process")

    def get_state(self, try_to_connect: bool = False) -> grpc.ChannelConnectivity:
        """READY until the server stops or the channel is closed."""
        if self._closed:
            return grpc.ChannelConnectivity.SHUTDOWN
        if self._server.stopping:
            return grpc.ChannelConnectivity.TRANSIENT_FAILURE
        return grpc.ChannelConnectivity.READY

    async def wait_for_state_change(self, last_observed_state: grpc.ChannelConnectivity) -> None:
        """Returns when the state is another one."""
        while self.get_state() is last_observed_state:
            changed: asyncio.Future[None] = asyncio.get_running_loop().create_future()
            self._state_changed.append(changed)
            await changed

    async def channel_ready(self) -> None:
        """Returns when the state is READY. Raises UsageError on a closed channel."""
        while (state := self.get_state()) is not grpc.ChannelConnectivity.READY:
            if self._closed:
                raise grpc.aio.UsageError("Channel is closed.")
            await self.wait_for_state_change(state)

    def state_changed(self) -> None:
        """Has those who wait for another state look again."""
        waiting, self._state_changed = self._state_changed, []
        for changed in waiting:
            if not changed.done():
                changed.set_result(None)

    async def close(self, grace: float | None = None) -> None:
        """Takes no more calls; cancels those that have not ended within `grace` seconds."""
        if self._closed:
            return
        self._closed = True
        self.state_changed()
        endings = [asyncio.ensure_future(_ended(rpc)) for rpc in self._server.calls_of(self)]
        try:
            if endings and grace:
                await asyncio.wait(endings, timeout=grace)
        finally:
            for ending in endings:
                ending.cancel()
            for rpc in self._server.calls_of(self):
                rpc.terminate(CANCELLED)

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self,
        exc_type: type[BaseException] | None,
        exc_val: BaseException | None,
        exc_tb: TracebackType | None,
    ) -> None:
        await self.close()


class _UnaryUnary(grpc.aio.UnaryUnaryMultiCallable[Request, Response]):
    def __init__(self, channel: InProcessChannel, method: str) -> None:
        self._channel = channel
        self._method = method

    def __call__(
        self,
        request: Request,
        *,
        timeout: float | None = None,
        metadata: Any = None,
        credentials: grpc.CallCredentials | None = None,
        wait_for_ready: bool | None = None,
        compression: grpc.Compression | None = None,
    ) -> grpc.aio.UnaryUnaryCall[Request, Response]:
        return UnaryUnaryCall(self._channel.begin(self._method, request, metadata, timeout))


class _UnaryStream(grpc.aio.UnaryStreamMultiCallable[Request, Response]):
    def __init__(self, channel: InProcessChannel, method: str) -> None:
        self._channel = channel
        self._method = method

    def __call__(
        self,
        request: Request,
        *,
        timeout: float | None = None,
        metadata: Any = None,
        credentials: grpc.CallCredentials | None = None,
        wait_for_ready: bool | None = None,
        compression: grpc.Compression | None = None,
    ) -> grpc.aio.UnaryStreamCall[Request, Response]:
        return UnaryStreamCall(self._channel.begin(self._method, request, metadata, timeout))


async def _ended(rpc: Rpc) -> None:
    while rpc.status is None:
        await rpc.change()
