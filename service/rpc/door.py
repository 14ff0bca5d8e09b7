"""How gRPC's own server is to behave: its options, and its answer to bytes that are no message.

The options' names are gRPC core's (`grpc/impl/channel_arg_names.h`).
"""

from __future__ import annotations

import inspect
from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Any

import grpc
from google.protobuf.message import DecodeError

from service.config import ServerConfig
from service.errors import InvalidRequest
from service.rpc.calls import Calls, Context

Options = tuple[tuple[str, int], ...]
Behaviour = Callable[[Any, Context], Awaitable[Any]]


class _Malformed:
    """What stands for a request that could not be read."""


_MALFORMED = _Malformed()


def options(config: ServerConfig, *, reuse_port: bool = False) -> Options:
    """Return the options of a server that listens as `config` says.

    `reuse_port` lets other processes of the same user listen there, too.
    """
    bounds = config.connections
    found: dict[str, int] = {
        "grpc.max_receive_message_length": config.max_message_bytes,
        "grpc.max_send_message_length": config.max_message_bytes,
        "grpc.so_reuseport": int(reuse_port),  # else an address in use is an error
        "grpc.enable_channelz": int(config.channelz),
        "grpc.keepalive_time_ms": _ms(bounds.keepalive_time),
        "grpc.keepalive_timeout_ms": _ms(bounds.keepalive_timeout),
        # Else a ping has a minute, whatever the line above says. It holds for gRPC's own probes of
        # the line's speed, too, and their answers come behind what the client is sending: an upload
        # over a slow line would be cut. So there are none.
        "grpc.http2.ping_timeout_ms": _ms(bounds.keepalive_timeout),
        "grpc.http2.bdp_probe": 0,
        "grpc.http2.max_pings_without_data": 0,  # our own pings: an answer may be long in coming
        # Clients ping through minutes-long unary calls: gRPC's own bound (5 min) breaks them off.
        "grpc.http2.min_recv_ping_interval_without_data_ms": _ms(bounds.min_ping_interval),
        "grpc.http2.max_ping_strikes": bounds.max_ping_strikes,
        "grpc.keepalive_permit_without_calls": 1,
    }
    if bounds.max_age is not None:
        found["grpc.max_connection_age_ms"] = _ms(bounds.max_age)  # gRPC adds the jitter
    if bounds.max_age_grace is not None:
        found["grpc.max_connection_age_grace_ms"] = _ms(bounds.max_age_grace)
    if bounds.max_streams is not None:
        found["grpc.max_concurrent_streams"] = bounds.max_streams
    return tuple(found.items())


class Readable:
    """A server to register services with: requests that cannot be read are the caller's fault.

    gRPC itself would answer UNKNOWN, and log a fault of ours with a traceback.
    """

    def __init__(self, server: grpc.aio.Server, calls: Calls) -> None:
        self._server = server
        self._calls = calls

    def add_generic_rpc_handlers(self, handlers: Sequence[grpc.GenericRpcHandler]) -> None:
        """Add handlers as they are: of those that are registered by name the others count."""
        self._server.add_generic_rpc_handlers(handlers)

    def add_registered_method_handlers(
        self, service: str, handlers: Mapping[str, grpc.RpcMethodHandler[Any, Any]]
    ) -> None:
        """Add handlers that answer INVALID_ARGUMENT to what they cannot read."""
        guarded = {name: self._guarded(name, handler) for name, handler in handlers.items()}
        self._server.add_registered_method_handlers(service, guarded)

    async def stop(self, grace: float | None) -> None:
        """Stop as the server does."""
        await self._server.stop(grace)

    def _guarded(self, name: str, handler: Any) -> Any:
        kind = "unary_stream" if handler.response_streaming else "unary_unary"
        answer = getattr(handler, kind)
        # A generator would have to be read here, chunk by chunk; none of ours is one.
        if handler.request_streaming or not inspect.iscoroutinefunction(answer):
            return handler
        read = _lenient(handler.request_deserializer)
        return handler._replace(request_deserializer=read, **{kind: self._guard(name, answer)})

    def _guard(self, name: str, answer: Behaviour) -> Behaviour:
        async def guarded(request: Any, context: Context) -> Any:
            if request is _MALFORMED:
                error = InvalidRequest("request", "is not a protobuf message of this method")
                await self._calls.abort(context, error, name, None)
            return await answer(request, context)

        return guarded


def _lenient(read: Callable[[bytes], Any]) -> Callable[[bytes], Any]:
    def lenient(data: bytes) -> Any:
        try:
            return read(data)
        except DecodeError:
            return _MALFORMED

    return lenient


def _ms(seconds: float) -> int:
    return max(1, round(seconds * 1000))
