"""The service's side of the relay: a server whose calls come over one RPC of a gRPC server.

Servicers are called exactly as over a connection of their own, and authenticate as there. The RPC
that carries the calls needs no key: without one in their own metadata, they get no further than
any other.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Sequence
from typing import Any, Final

import grpc
from llmbase.relay.v1.relay_pb2_grpc import (
    RelayServiceServicer,
    add_RelayServiceServicer_to_server,
)

from channel.in_process import InProcessServer
from relay.server_session import ServerSession, Violation

_LOG = logging.getLogger("llmbase.relay")
_FLUSH: Final = 0.5  # seconds in which callers are to end their streams when no call is left


class RelayServer(InProcessServer):
    """Registers servicers as any server does. `largest_message`, in bytes, is what it sends."""

    def __init__(
        self, largest_message: int, interceptors: Sequence[grpc.aio.ServerInterceptor] = ()
    ) -> None:
        super().__init__(interceptors)
        self._largest_message = largest_message
        self._sessions: set[ServerSession] = set()
        self._no_session = asyncio.Event()
        self._no_session.set()

    def open_on(self, server: grpc.aio.Server) -> None:
        """Has a gRPC server carry the calls. It is to be stopped together with this one."""
        add_RelayServiceServicer_to_server(_Servicer(self), server)

    async def carry(self, context: grpc.aio.ServicerContext[Any, Any]) -> None:
        """Carries the calls of one stream to its end."""
        session = ServerSession(self, self._largest_message)
        self._sessions.add(session)
        self._no_session.clear()
        try:
            await session.run(context)
        except Violation as violation:
            _LOG.warning("relay refused", extra={"reason": str(violation)})
            await context.abort(grpc.StatusCode.INVALID_ARGUMENT, str(violation))
        finally:
            self._sessions.discard(session)
            if not self._sessions:
                self._no_session.set()

    async def stop(self, grace: float | None) -> None:
        """Refuses new calls; returns when all have ended, and so have their streams, by protocol.

        Calls that have not ended within `grace` seconds (None: at once) end with UNAVAILABLE. May
        be called again, to stop sooner.
        """
        for session in self._sessions:
            session.drain()
        await super().stop(grace)
        try:
            async with asyncio.timeout(_FLUSH):
                await self._no_session.wait()
        except TimeoutError:
            for session in tuple(self._sessions):
                session.close()
            await self._no_session.wait()


class _Servicer(RelayServiceServicer):
    def __init__(self, server: RelayServer) -> None:
        self._server = server

    async def Relay(  # type: ignore[override]  # noqa: N802 - gRPC's name
        self, request_iterator: Any, context: Any
    ) -> None:
        await self._server.carry(context)
