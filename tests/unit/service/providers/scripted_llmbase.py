"""Another llmbase that does what a test says: a real gRPC server, and a provider that asks it."""

from __future__ import annotations

import asyncio
import contextlib

import grpc
from google.protobuf.any_pb2 import Any
from google.protobuf.duration_pb2 import Duration
from google.rpc import error_details_pb2, status_pb2
from llmbase.v1 import chat_completion_pb2 as pb
from llmbase.v1.chat_completion_pb2_grpc import (
    ChatCompletionServiceServicer,
    add_ChatCompletionServiceServicer_to_server,
)

from service.config import ProviderConfig
from service.providers import build
from telemetry.metrics import Metrics


class ScriptedLlmbase(ChatCompletionServiceServicer):
    """Calls `answer(request, context)` for each RPC; remembers what came and what was cancelled."""

    def __init__(self, answer):
        self._answer = answer
        self.requests = []
        self.metadata = []
        self.seconds = []
        self.arrived = asyncio.Event()
        self.cancelled = asyncio.Event()
        self.ended = asyncio.Event()

    async def CreateChatCompletion(self, request, context):  # noqa: N802 - gRPC's name
        return await self._run(request, context)

    async def StreamChatCompletion(self, request, context):  # noqa: N802 - gRPC's name
        await self._run(request, context)

    async def _run(self, request, context):
        self.requests.append(request)
        self.metadata.append(dict(context.invocation_metadata()))
        self.seconds.append(context.time_remaining())
        self.arrived.set()
        try:
            return await self._answer(request, context)
        except asyncio.CancelledError:
            self.cancelled.set()
            raise
        finally:
            self.ended.set()


@contextlib.asynccontextmanager
async def listening(answer, address="127.0.0.1:0", credentials=None):
    """The server; gives the servicer and where it listens."""
    server = grpc.aio.server()
    servicer = ScriptedLlmbase(answer)
    add_ChatCompletionServiceServicer_to_server(servicer, server)
    if credentials is not None:
        port = server.add_secure_port(address, credentials)
    else:
        port = server.add_insecure_port(address)
    await server.start()
    try:
        yield servicer, address if address.startswith("unix:") else f"127.0.0.1:{port}"
    finally:
        await server.stop(None)


@contextlib.asynccontextmanager
async def asking(url, **config):
    """The provider, as the service builds it from its configuration."""
    given = ProviderConfig.model_validate({"dialect": "llmbase", "base_url": url, **config})
    build.check({"far": given})
    provider = build.build(
        "far", given, build.trust("far", given), None, None, Metrics({}), "1.2.3"
    )
    try:
        yield provider
    finally:
        await provider.close()


@contextlib.asynccontextmanager
async def both(answer, **config):
    """The two together."""
    async with (
        listening(answer) as (servicer, address),
        asking(f"grpc://{address}", **config) as provider,
    ):
        yield servicer, provider


def text(content, **fields):
    """A chunk with some text."""
    return pb.ChatCompletionChunk(choices=[pb.ChoiceDelta(content=content)], **fields)


def last(**usage):
    """The last chunk."""
    finish = pb.ChoiceDelta(finish_reason=pb.FINISH_REASON_STOP)
    return pb.ChatCompletionChunk(choices=[finish], usage=pb.Usage(**usage), last=True)


def whole(content="Hello", **fields):
    """A whole answer."""
    message = pb.Message(role=pb.ROLE_ASSISTANT, content=[pb.ContentPart(text=content)])
    choice = pb.Choice(message=message, finish_reason=pb.FINISH_REASON_STOP)
    return pb.ChatCompletion(choices=[choice], **fields)


def says(*chunks):
    """An answer that is these chunks, or the first of them."""

    async def answer(request, context):
        if isinstance(chunks[0], pb.ChatCompletion):
            return chunks[0]
        for chunk in chunks:
            await context.write(chunk)

    return answer


async def stalls(request, context):
    """Say nothing until the caller is gone."""
    await asyncio.Event().wait()


def details(reason, message="as it is", *, retry=None, fields=(), domain="llmbase.ai"):
    """The details of an error status, as bytes."""
    status = status_pb2.Status(code=2, message=message)
    parts = [error_details_pb2.ErrorInfo(reason=reason, domain=domain)]
    if fields:
        bad = error_details_pb2.BadRequest()
        for field, description in fields:
            bad.field_violations.add(field=field, description=description)
        parts.append(bad)
    if retry is not None:
        delay = Duration()
        delay.FromNanoseconds(round(retry * 1e9))
        parts.append(error_details_pb2.RetryInfo(retry_delay=delay))
    for part in parts:
        packed = Any()
        packed.Pack(part)
        status.details.append(packed)
    return status.SerializeToString()


def fails(code, packed=None, *chunks):
    """Fail with a status, after some chunks."""

    async def answer(request, context):
        for chunk in chunks:
            await context.write(chunk)
        trailing = (("grpc-status-details-bin", packed),) if packed is not None else ()
        await context.abort(code, "as it is", trailing)

    return answer
