"""A service that does what a test says, behind a real gRPC server."""

# ruff: noqa: N802 - the methods have the names of their RPCs

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import aiohttp
import grpc
from google.protobuf.any_pb2 import Any as AnyMessage
from google.protobuf.duration_pb2 import Duration
from google.protobuf.message import Message
from google.rpc import error_details_pb2, status_pb2
from grpc_health.v1 import health_pb2, health_pb2_grpc
from llmbase.v1 import account_pb2, model_pb2
from llmbase.v1 import chat_completion_pb2 as pb
from llmbase.v1.account_pb2_grpc import (
    AccountServiceServicer,
    add_AccountServiceServicer_to_server,
)
from llmbase.v1.chat_completion_pb2_grpc import (
    ChatCompletionServiceServicer,
    add_ChatCompletionServiceServicer_to_server,
)
from llmbase.v1.model_pb2_grpc import ModelServiceServicer, add_ModelServiceServicer_to_server
from yarl import URL

from gateway.app import Settings, build_app
from gateway.door import Door, start_http

CHAT = "/v1/chat/completions"
PATIENCE = 10.0  # seconds after which a test that waits in vain has failed

ROUTE = pb.RouteFacts(requested_model="m", served_model="m", provider="acme", attempts=1)
USAGE = pb.Usage(prompt_tokens=1, completion_tokens=2, total_tokens=3)
_FACTS: dict[str, Any] = {"id": "chatcmpl-1", "created": 7, "model": "m"}

Context = Any
Whole = Callable[[pb.ChatCompletionRequest, Context], Awaitable[pb.ChatCompletion]]
Stream = Callable[[pb.ChatCompletionRequest, Context], AsyncIterator[pb.ChatCompletionChunk]]


def completion(text: str = "Hello", route: pb.RouteFacts = ROUTE) -> pb.ChatCompletion:
    message = pb.Message(role=pb.ROLE_ASSISTANT, content=[pb.ContentPart(text=text)])
    choice = pb.Choice(message=message, finish_reason=pb.FINISH_REASON_STOP)
    return pb.ChatCompletion(**_FACTS, choices=[choice], usage=USAGE, route=route)


def first(text: str = "Hel", route: pb.RouteFacts = ROUTE) -> pb.ChatCompletionChunk:
    return pb.ChatCompletionChunk(**_FACTS, choices=[pb.ChoiceDelta(content=text)], route=route)


def more(text: str = "lo") -> pb.ChatCompletionChunk:
    return pb.ChatCompletionChunk(**_FACTS, choices=[pb.ChoiceDelta(content=text)])


def last() -> pb.ChatCompletionChunk:
    end = pb.ChoiceDelta(finish_reason=pb.FINISH_REASON_STOP)
    return pb.ChatCompletionChunk(**_FACTS, choices=[end], usage=USAGE, last=True)


async def fail(
    context: Context,
    reason: str,
    *,
    code: grpc.StatusCode = grpc.StatusCode.UNAVAILABLE,
    field_path: str | None = None,
    retry_after: int | None = None,
    trailing: tuple[tuple[str, str], ...] = (),
) -> None:
    """Abort the call with one of our reasons."""
    details: list[Message] = [error_details_pb2.ErrorInfo(reason=reason, domain="llmbase.ai")]
    if field_path is not None:
        bad_request = error_details_pb2.BadRequest()
        bad_request.field_violations.add(field=field_path, description="must be better")
        details.append(bad_request)
    if retry_after is not None:
        delay = Duration(seconds=retry_after)
        details.append(error_details_pb2.RetryInfo(retry_delay=delay))
    status = status_pb2.Status(code=code.value[0], message=f"It was {reason}.")
    for detail in details:
        packed = AnyMessage()
        packed.Pack(detail)
        status.details.append(packed)
    metadata = (("grpc-status-details-bin", status.SerializeToString()), *trailing)
    await context.abort(code, status.message, metadata)


def failing(reason: str, **options: Any) -> Any:
    """A script for a unary answer that fails."""

    async def whole(request: Any, context: Any) -> pb.ChatCompletion:
        await fail(context, reason, **options)
        raise AssertionError

    return whole


def stream_of(*chunks: Any) -> Any:
    """A script: chunks to send, coroutine functions to call with the context in between."""

    async def stream(request: Any, context: Any) -> AsyncIterator[pb.ChatCompletionChunk]:
        for chunk in chunks:
            if isinstance(chunk, pb.ChatCompletionChunk):
                yield chunk
            else:
                await chunk(context)

    return stream


@dataclass
class Call:
    """An RPC that came in."""

    request: Any
    metadata: dict[str, str]
    seconds: float | None


@dataclass
class Service:
    """The script, and what has happened. `ended` is set when a chat's handler is through."""

    whole: Whole
    stream: Stream
    calls: list[Call] = field(default_factory=list)
    cancelled: asyncio.Event = field(default_factory=asyncio.Event)
    arrived: asyncio.Event = field(default_factory=asyncio.Event)
    models: list[model_pb2.Model] = field(default_factory=list)
    balance: account_pb2.GetBalanceResponse | None = None
    health: int = health_pb2.HealthCheckResponse.SERVING
    answers_health: bool = True

    def note(self, request: Any, context: Context) -> None:
        metadata = dict(context.invocation_metadata())
        seconds = context.time_remaining()
        # Without a deadline grpc.aio tells of one in the far future.
        self.calls.append(Call(request, metadata, seconds if seconds and seconds < 1e6 else None))
        self.arrived.set()


class _Chats(ChatCompletionServiceServicer):
    def __init__(self, service: Service) -> None:
        self._service = service

    async def CreateChatCompletion(self, request: Any, context: Context) -> pb.ChatCompletion:
        self._service.note(request, context)
        try:
            return await self._service.whole(request, context)
        except asyncio.CancelledError:
            self._service.cancelled.set()
            raise

    async def StreamChatCompletion(self, request: Any, context: Context) -> None:  # type: ignore[override]
        self._service.note(request, context)
        try:
            async for chunk in self._service.stream(request, context):
                await context.write(chunk)
        except asyncio.CancelledError:
            self._service.cancelled.set()
            raise


class _Models(ModelServiceServicer):
    def __init__(self, service: Service) -> None:
        self._service = service

    async def ListModels(
        self, request: model_pb2.ListModelsRequest, context: Context
    ) -> model_pb2.ListModelsResponse:
        self._service.note(request, context)
        return model_pb2.ListModelsResponse(models=self._service.models)

    async def GetModel(
        self, request: model_pb2.GetModelRequest, context: Context
    ) -> model_pb2.GetModelResponse:
        self._service.note(request, context)
        for model in self._service.models:
            if model.id == request.id:
                return model_pb2.GetModelResponse(model=model)
        await fail(context, "MODEL_NOT_FOUND", code=grpc.StatusCode.NOT_FOUND)
        raise AssertionError


class _Accounts(AccountServiceServicer):
    def __init__(self, service: Service) -> None:
        self._service = service

    async def GetBalance(
        self, request: account_pb2.GetBalanceRequest, context: Context
    ) -> account_pb2.GetBalanceResponse:
        self._service.note(request, context)
        if self._service.balance is None:
            await fail(context, "ACCOUNT_NOT_FOUND", code=grpc.StatusCode.NOT_FOUND)
        assert self._service.balance is not None
        return self._service.balance


class _Health(health_pb2_grpc.HealthServicer):
    def __init__(self, service: Service) -> None:
        self._service = service

    async def Check(self, request: Any, context: Context) -> Any:
        self._service.note(request, context)
        if not self._service.answers_health:
            await asyncio.Event().wait()
        return health_pb2.HealthCheckResponse(status=self._service.health)


async def serve(service: Service, address: str) -> grpc.aio.Server:
    """Serve the script at the address."""
    server = grpc.aio.server()
    add_ChatCompletionServiceServicer_to_server(_Chats(service), server)
    add_ModelServiceServicer_to_server(_Models(service), server)
    add_AccountServiceServicer_to_server(_Accounts(service), server)
    health_pb2_grpc.add_HealthServicer_to_server(_Health(service), server)
    server.add_insecure_port(address)
    await server.start()
    return server


@dataclass(frozen=True)
class Reply:
    """An HTTP answer, read to its end."""

    status: int
    headers: Mapping[str, str]
    body: bytes

    @property
    def json(self) -> Any:
        assert self.headers["Content-Type"].startswith("application/json")
        return json.loads(self.body)

    @property
    def error(self) -> dict[str, Any]:
        """The error; it must be in the envelope."""
        body = self.json
        assert list(body) == ["error"]
        assert list(body["error"]) == ["message", "type", "code", "param"]
        error: dict[str, Any] = body["error"]
        return error

    @property
    def events(self) -> list[Any]:
        """The documents of a stream; [DONE] stays text, comments are left out."""
        *blocks, rest = self.body.decode().split("\n\n")
        assert rest == ""
        texts = [block.removeprefix("data: ") for block in blocks if not block.startswith(":")]
        return [text if text == "[DONE]" else json.loads(text) for text in texts]


class Gateway:
    """An open door before a scripted service, and a client of it."""

    def __init__(self, door: Door, service: Service) -> None:
        self.door = door
        self.service = service
        timeout = aiohttp.ClientTimeout(total=PATIENCE)
        self.client = aiohttp.ClientSession(door.url, timeout=timeout)

    async def ask(self, body: Any = None, headers: Mapping[str, str] | None = None) -> Reply:
        """Post a chat request, JSON or bytes."""
        data = body if isinstance(body, bytes) else json.dumps(body or hello()).encode()
        named = {"Content-Type": "application/json", **(headers or {})}
        return await self.request("POST", CHAT, data=data, headers=named)

    async def request(self, method: str, path: str | URL, **options: Any) -> Reply:
        """Send any request."""
        async with self.client.request(method, path, **options) as response:
            return Reply(response.status, response.headers, await response.read())


def hello(**fields: Any) -> dict[str, Any]:
    return {"model": "m", "messages": [{"role": "user", "content": "Hi"}], **fields}


async def start(channel: grpc.aio.Channel, service: Service, settings: Settings) -> Gateway:
    """Open a door."""
    return Gateway(await start_http(build_app(channel, settings), "127.0.0.1:0"), service)


async def soon(event: asyncio.Event) -> None:
    """Wait for something that must happen."""
    async with asyncio.timeout(PATIENCE):
        await event.wait()
