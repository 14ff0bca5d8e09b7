"""The bare skeleton of one process: aiohttp at both ends, and next to nothing between them.

It looks at what a gateway has to look at (whose key, which model, how the answer ended), checks
nothing and forgives nothing. What it costs is the limit of the shape.
`python -m tests.bench.skeleton PROVIDER_PORT` prints its port.
"""

from __future__ import annotations

import asyncio
import hashlib
import sys

import aiohttp
import msgspec
import orjson
import uvloop
from aiohttp import web

from tests.bench.questions import KEY, MODEL, PROVIDER_KEY, UPSTREAM_MODEL

_KEYS = {hashlib.sha256(KEY.encode()).digest(): "bench"}
_SSE = {"content-type": "text/event-stream; charset=utf-8"}


class Asked(msgspec.Struct):
    model: str
    stream: bool = False


class Delta(msgspec.Struct):
    content: str | None = None


class Choice(msgspec.Struct):
    delta: Delta
    finish_reason: str | None = None


class Chunk(msgspec.Struct):
    choices: list[Choice]


class Ended(msgspec.Struct):
    usage: msgspec.Raw


peek = msgspec.json.Decoder(Asked).decode
read_chunk = msgspec.json.Decoder(Chunk).decode
read_end = msgspec.json.Decoder(Ended).decode


class Skeleton:
    """The handler."""

    def __init__(self, session: aiohttp.ClientSession, provider: str) -> None:
        self._session = session
        self._provider = provider

    async def answer(self, request: web.Request) -> web.StreamResponse:
        key = request.headers["Authorization"].removeprefix("Bearer ")
        if hashlib.sha256(key.encode()).digest() not in _KEYS:
            raise web.HTTPUnauthorized
        body = await request.read()
        asked = peek(body)
        async with await ask(self._session, self._provider, body, asked) as response:
            if asked.stream:
                return await self._stream(request, response)
            content = await response.read()
            read_end(content)
            return web.Response(body=content, content_type="application/json")

    async def _stream(
        self, request: web.Request, response: aiohttp.ClientResponse
    ) -> web.StreamResponse:
        out = web.StreamResponse(headers=_SSE)
        await out.prepare(request)
        rendering = Rendering()
        while data := await response.content.readany():
            if events := rendering.feed(data):
                await out.write(events)
        await out.write_eof()
        return out


async def ask(
    session: aiohttp.ClientSession, provider: str, body: bytes, asked: Asked
) -> aiohttp.ClientResponse:
    """Ask the provider the same of its own model."""
    ours, theirs = orjson.dumps(MODEL), orjson.dumps(UPSTREAM_MODEL)
    return await session.post(
        provider,
        data=body.replace(ours, theirs, 1),
        headers={
            "Authorization": f"Bearer {PROVIDER_KEY}",
            "Content-Type": "application/json",
        },
    )


class Rendering:
    """Events in, events out: content is taken out and put into the stream's own frame."""

    def __init__(self) -> None:
        self._held = b""
        self._head = (
            b'data: {"id":"chatcmpl-0123456789","object":"chat.completion.chunk",'
            b'"created":1790000000,"model":%b,"choices":[{"index":0,"delta":{"content":'
            % orjson.dumps(MODEL)
        )

    def feed(self, data: bytes) -> bytes:
        """Return the events that have become whole, as they go out."""
        *events, self._held = (self._held + data).split(b"\n\n")
        out = []
        for event in events:
            text = _text(event[6:])
            if text is None:
                out += (event, b"\n\n")
            else:
                out += (self._head, orjson.dumps(text), b'},"finish_reason":null}]}\n\n')
        return b"".join(out)


def _text(data: bytes) -> str | None:
    """Return the text of a chunk that is nothing else."""
    choices = read_chunk(data).choices if data != b"[DONE]" else ()
    if not choices or choices[0].finish_reason is not None:
        return None
    return choices[0].delta.content or None


def new_session() -> aiohttp.ClientSession:
    """A client without limits and cookies."""
    return aiohttp.ClientSession(
        connector=aiohttp.TCPConnector(limit=0),
        cookie_jar=aiohttp.DummyCookieJar(),
        timeout=aiohttp.ClientTimeout(total=None),
    )


async def serve(application: web.Application) -> None:
    """Serve an application at a free port until the process is ended."""
    runner = web.AppRunner(application, access_log=None, handler_cancellation=True)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0, backlog=4096).start()
    print(f"ready {runner.addresses[0][1]}", flush=True)
    await asyncio.Event().wait()


async def _main(provider_port: str) -> None:
    provider = f"http://127.0.0.1:{provider_port}/v1/chat/completions"
    async with new_session() as session:
        application = web.Application(client_max_size=32 * 2**20)
        application.router.add_post("/v1/chat/completions", Skeleton(session, provider).answer)
        await serve(application)


if __name__ == "__main__":
    uvloop.run(_main(sys.argv[1]))
