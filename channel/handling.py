"""The server's half of a call: finds its handler, runs it, says how it ended.

Exceptions become statuses here exactly as they do in a grpc.aio server.
"""

from __future__ import annotations

import logging
from collections.abc import Awaitable, Callable, Mapping
from contextlib import aclosing
from types import CoroutineType
from typing import Any, Final, TypeAlias

import grpc

from channel.context import Context
from channel.metadata import Entries
from channel.rpc import Rpc
from channel.status import UNKNOWN_METHOD, Status

_log = logging.getLogger(__name__)

MethodHandler: TypeAlias = "grpc.RpcMethodHandler[Any, Any]"


class CallDetails(grpc.HandlerCallDetails):
    """What interceptors and generic handlers are told of a call."""

    def __init__(self, method: str, invocation_metadata: Entries) -> None:
        self.method = method
        self.invocation_metadata = invocation_metadata


# What async functions return comes first: it is told by its type alone.
_AWAITABLE: Final = (CoroutineType, Awaitable)

Known: TypeAlias = "Mapping[str, MethodHandler]"
Find: TypeAlias = "Callable[[Rpc], Awaitable[MethodHandler | None]]"
Found: TypeAlias = "Callable[[Rpc, MethodHandler], None]"


async def serve(rpc: Rpc, known: Known, find: Find, found: Found | None = None) -> None:
    """Runs one call's handler. Only cancellation, and what ends a process, comes out of it.

    It is looked for where it is `known` by its method, and else by `find`. `found` is told which it
    is before it runs, and may still change the request; what it raises is taken for the handler's
    own.
    """
    context = Context(rpc)
    try:
        method_handler = known.get(rpc.method) or await find(rpc)
        if method_handler is None:
            rpc.end(UNKNOWN_METHOD)
            return
        if found is not None:
            found(rpc, method_handler)
        if method_handler.request_streaming:
            raise NotImplementedError("in process a call has one request, not a stream of them")
        if method_handler.response_streaming:
            await _stream(method_handler.unary_stream, rpc, context)
        else:
            behaviour: Any = method_handler.unary_unary
            message = behaviour(rpc.request, context)
            if isinstance(message, _AWAITABLE):
                message = await message
            _answer(message, rpc, context)
        if context.aborted is not None:
            _log.error("handler of %s went on after its abort", rpc.method)
    except Exception as error:
        if error is context.aborted:
            error.__traceback__ = None  # whose frames hold the context, which holds the error
            return
        _fail(error, rpc, context)
    else:
        if rpc.status is None:
            rpc.end(context.final_status())


def _answer(message: Any, rpc: Rpc, context: Context) -> None:
    status = rpc.status or context.final_status()
    if status.code is not grpc.StatusCode.OK:
        return
    if message is None:
        raise TypeError("the handler of a unary call returned None")
    rpc.message = message
    rpc.end(status)


async def _stream(behaviour: Any, rpc: Rpc, context: Context) -> None:
    stream = behaviour(rpc.request, context)
    if isinstance(stream, _AWAITABLE):
        await stream
        return
    async with aclosing(stream):  # closed now: its `finally` may hold a connection
        async for message in stream:
            await context.write(message)


def _fail(error: Exception, rpc: Rpc, context: Context) -> None:
    if rpc.status is None or not isinstance(error, grpc.aio.InternalError):
        _log.exception("handler of %s failed", rpc.method)
    if rpc.status is not None:
        return
    code, _, trailing_metadata, _ = context.final_status()
    if code is grpc.StatusCode.OK:
        code = grpc.StatusCode.UNKNOWN
    rpc.end(Status(code, f"Unexpected {type(error)}: {error}", trailing_metadata))
