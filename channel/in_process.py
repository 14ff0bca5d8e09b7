"""A gRPC server without a wire: servicers are called by the tasks of their callers.

What a caller and a handler see of each other is what grpc.aio would show them over a socket, with
these differences. Messages are handed over, not copied, so neither side may change one afterwards.
A handler starts when its caller first awaits the call, runs only while the caller waits, and its
write returns when the caller wants the next message. Calls have one request. Handlers are async
functions or async generators; a plain function is called on the event loop. Where the wire would
leave a caller without an end (a handler that cancels itself, a second message for a unary call, an
abort with OK), the call fails at once; and a call that is dropped is cancelled.
"""

from __future__ import annotations

import asyncio
import contextvars
import weakref
from collections.abc import Coroutine, Iterable, Mapping, Sequence
from functools import partial
from typing import Any, Never

import grpc

from channel.client import InProcessChannel
from channel.context import Context
from channel.handling import CallDetails, Found, MethodHandler, serve
from channel.metadata import Entries, as_handlers_see
from channel.rpc import Rpc
from channel.status import CUT_BY_STOP, REFUSED


class InProcessServer(grpc.aio.Server):
    """Registers servicers as a grpc.aio.Server does; `channel()` is the way to call them.

    Handlers run in copies of the context variables that are current where the server is made, as
    over the wire: those of the caller stay the caller's.
    """

    def __init__(self, interceptors: Sequence[grpc.aio.ServerInterceptor] = ()) -> None:
        self._interceptors = tuple(interceptors)
        self._registered: dict[str, MethodHandler] = {}
        self._generic: list[grpc.GenericRpcHandler] = []
        self._context = contextvars.copy_context()
        known = {} if self._interceptors else self._registered
        self._serve = partial(serve, known, self._find)
        self._calls: dict[Rpc, object] = {}
        self._finishing: set[asyncio.Task[None]] = set()
        self._channels: weakref.WeakSet[InProcessChannel] = weakref.WeakSet()
        self._empty = asyncio.Event()
        self.stopping = False

    def add_generic_rpc_handlers(
        self, generic_rpc_handlers: Iterable[grpc.GenericRpcHandler]
    ) -> None:
        """Adds handlers that are asked in turn for a method that is not registered."""
        self._generic.extend(generic_rpc_handlers)

    def add_registered_method_handlers(
        self, service_name: str, method_handlers: Mapping[str, MethodHandler]
    ) -> None:
        """Adds a service's methods by name."""
        for name, method_handler in method_handlers.items():
            self._registered[f"/{service_name}/{name}"] = method_handler

    def channel(self) -> InProcessChannel:
        """A channel to this server; any number of them."""
        channel = InProcessChannel(self)
        self._channels.add(channel)
        return channel

    async def start(self) -> None:
        """No effect: the server serves from the beginning."""

    async def stop(self, grace: float | None) -> None:
        """Refuses new calls; returns when every handler has ended.

        Calls that have not ended within `grace` seconds (None: at once) end with UNAVAILABLE and
        their handlers are cancelled. May be called again, to stop sooner.
        """
        self.stopping = True
        for channel in self._channels:
            channel.state_changed()
        if not self._calls:
            self._empty.set()
        try:
            async with asyncio.timeout(grace or 0):
                await self._empty.wait()
        except TimeoutError:
            for rpc in tuple(self._calls):
                rpc.terminate(CUT_BY_STOP)
            await self._empty.wait()

    async def wait_for_termination(self, timeout: float | None = None) -> bool:
        """Waits for `stop` to be through; returns True if `timeout` seconds were too short."""
        try:
            async with asyncio.timeout(timeout):
                await self._empty.wait()
        except TimeoutError:
            return True
        return False

    def add_insecure_port(self, address: str) -> Never:
        """Not there: this server has no ports."""
        raise NotImplementedError(f"an in-process server cannot listen on {address}")

    def add_secure_port(self, address: str, server_credentials: grpc.ServerCredentials) -> Never:
        """Not there: this server has no ports."""
        raise NotImplementedError(f"an in-process server cannot listen on {address}")

    # What channels and calls need of it.

    def open(
        self,
        method: str,
        request: object,
        metadata: Entries,
        timeout: float | None,
        caller: object,
        found: Found | None = None,
    ) -> Rpc:
        """Begins a call for `caller`; it has ended already when the server is stopping.

        `found` is as `serve` has it.
        """
        rpc = Context(
            method,
            request,
            as_handlers_see(metadata),
            timeout,
            self._serve if found is None else partial(self._serve, found=found),
            self._context.copy(),
            self,
            asyncio.get_running_loop(),
        )
        if rpc.status is None:
            if self.stopping:
                rpc.terminate(REFUSED)
            else:
                self._calls[rpc] = caller
        return rpc

    def calls_of(self, caller: object) -> Sequence[Rpc]:
        """The caller's calls whose handlers have not ended."""
        return [rpc for rpc, by in self._calls.items() if by is caller]

    def left(self, rpc: Rpc) -> None:
        """Hears that the call's handler has ended, or will never start."""
        self._calls.pop(rpc, None)
        if self.stopping and not self._calls:
            self._empty.set()

    def keep(self, finishing: Coroutine[Any, Any, None]) -> None:
        """Runs to its end what a handler still has to do after its call has ended."""
        task = asyncio.get_running_loop().create_task(finishing, context=self._context.copy())
        self._finishing.add(task)
        task.add_done_callback(self._finishing.discard)

    async def _find(self, rpc: Rpc) -> MethodHandler | None:
        details = CallDetails(rpc.method, rpc.metadata)
        found: MethodHandler | None = await self._intercepted(0, details)
        return found

    async def _intercepted(self, position: int, details: CallDetails) -> Any:
        if position == len(self._interceptors):
            return self._lookup(details)
        onward = partial(self._intercepted, position + 1)
        return await self._interceptors[position].intercept_service(onward, details)

    def _lookup(self, details: CallDetails) -> MethodHandler | None:
        if (registered := self._registered.get(details.method)) is not None:
            return registered
        for generic in self._generic:
            if (found := generic.service(details)) is not None:
                return found
        return None
