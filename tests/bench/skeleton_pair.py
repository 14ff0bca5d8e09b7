"""The bare skeleton of two processes: REST door, a gRPC call per request, provider calls.

`python -m tests.bench.skeleton_pair service PROVIDER_PORT SOCKET` and
`python -m tests.bench.skeleton_pair gateway SOCKET`; each prints `ready`, the gateway its port.
"""

from __future__ import annotations

import asyncio
import sys
from collections.abc import AsyncIterator
from typing import Any

import grpc
import uvloop
from aiohttp import web

from tests.bench.skeleton import Rendering, ask, new_session, peek, read_end, serve

_WHOLE, _STREAM = "/bench.Skeleton/Whole", "/bench.Skeleton/Stream"


class Service(grpc.GenericRpcHandler):
    """Bytes in, bytes out: what one read of the provider brought is one message."""

    def __init__(self, session: Any, provider: str) -> None:
        self._session = session
        self._provider = provider

    def service(self, handler_call_details: Any) -> grpc.RpcMethodHandler:
        if handler_call_details.method == _WHOLE:
            return grpc.unary_unary_rpc_method_handler(self._whole)
        return grpc.unary_stream_rpc_method_handler(self._stream)

    async def _whole(self, body: bytes, context: Any) -> bytes:
        async with await ask(self._session, self._provider, body, peek(body)) as response:
            content = await response.read()
            read_end(content)
            return content

    async def _stream(self, body: bytes, context: Any) -> AsyncIterator[bytes]:
        rendering = Rendering()
        async with await ask(self._session, self._provider, body, peek(body)) as response:
            while data := await response.content.readany():
                if events := rendering.feed(data):
                    yield events


class Gateway:
    """The handler of the REST door."""

    def __init__(self, channel: grpc.aio.Channel) -> None:
        self._whole = channel.unary_unary(_WHOLE)
        self._stream = channel.unary_stream(_STREAM)

    async def answer(self, request: web.Request) -> web.StreamResponse:
        body = await request.read()
        if not peek(body).stream:
            content = await self._whole(body)
            return web.Response(body=content, content_type="application/json")
        out = web.StreamResponse(headers={"content-type": "text/event-stream"})
        await out.prepare(request)
        call = self._stream(body)
        try:
            async for events in call:
                await out.write(events)
        finally:
            call.cancel()
        await out.write_eof()
        return out


async def _serve_service(provider_port: str, socket: str) -> None:
    provider = f"http://127.0.0.1:{provider_port}/v1/chat/completions"
    async with new_session() as session:
        server = grpc.aio.server(options=[("grpc.max_receive_message_length", -1)])
        server.add_generic_rpc_handlers((Service(session, provider),))
        server.add_insecure_port(f"unix:{socket}")
        await server.start()
        print("ready 0", flush=True)
        await asyncio.Event().wait()


async def _serve_gateway(socket: str) -> None:
    options = [("grpc.max_send_message_length", -1)]
    async with grpc.aio.insecure_channel(f"unix:{socket}", options=options) as channel:
        application = web.Application(client_max_size=32 * 2**20)
        application.router.add_post("/v1/chat/completions", Gateway(channel).answer)
        await serve(application)


if __name__ == "__main__":
    uvloop.run({"service": _serve_service, "gateway": _serve_gateway}[sys.argv[1]](*sys.argv[2:]))
