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
from channel.status import OK, UNKNOWN_METHOD, Status

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


async def serve(known: Known, find: Find, context: Context, found: Found | None = None) -> None:
    """Runs one call's handler. Only cancellation, and what ends a process, comes out of it.

    It is looked for where it is `known` by its method, and else by `find`. `found` is told which it
    is before it runs, and may still change the request; what it raises is taken for the handler's
    own.
    """
    try:
        method_handler = known.get(context.method) or await find(context)
        if method_handler is None:
            context.end(UNKNOWN_METHOD)
            return
        if found is not None:
            found(context, method_handler)
        if method_handler.request_streaming:
            raise NotImplementedError("in process a call has one request, not a stream of them")
        if method_handler.response_streaming:
            await _stream(method_handler.unary_stream, context)
        else:
            behaviour: Any = method_handler.unary_unary
            message = behaviour(context.request, context)
            if isinstance(message, _AWAITABLE):
                message = await message
            _answer(message, context)
        if context.aborted is not None:
            _log.error("handler of %s went on after its abort", context.method)
    except Exception as error:
        if error is context.aborted:
            error.__traceback__ = None  # whose frames hold the context, which holds the error
            return
        _fail(error, context)
    else:
        if context.status is None:
            context.end(context.final_status())


def _answer(message: Any, context: Context) -> None:
    status = context.status or context.final_status()
    if status.code is not OK:
        return
    if message is None:
        raise TypeError("the handler of a unary call returned None")
    context.message = message
    context.end(status)


async def _stream(behaviour: Any, context: Context) -> None:
    stream = behaviour(context.request, context)
    if isinstance(stream, _AWAITABLE):
        await stream
        return
    async with aclosing(stream):  # closed now: its `finally` may hold a connection
        async for message in stream:
            await context.write(message)


def _fail(error: Exception, context: Context) -> None:
    if context.status is None or not isinstance(error, grpc.aio.InternalError):
        _log.exception("handler of %s failed", context.method)
    if context.status is not None:
        return
    code, _, trailing_metadata, _ = context.final_status()
    if code is OK:
        code = grpc.StatusCode.UNKNOWN
    context.end(Status(code, f"Unexpected {type(error)}: {error}", trailing_metadata))
