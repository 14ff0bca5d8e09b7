"""How a service ends: its notice, its grace and what comes after, at full length."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import grpc
import pytest
from grpc_health.v1.health_pb2 import HealthCheckRequest
from grpc_health.v1.health_pb2_grpc import HealthStub
from llmbase.v1 import chat_completion_pb2 as pb
from llmbase.v1.chat_completion_pb2_grpc import ChatCompletionServiceStub

from channel.in_process import InProcessServer
from service.config import Config
from service.labels import known_labels
from service.providers.http_client.client import Asker, HttpClient
from service.server import Service
from telemetry.metrics import Metrics
from tests.support.config import KEY, key_entry
from tests.unit.service.providers.timed_http import CONTENT, FOREVER, WHOLE, Response
from tests.unit.virtual_time import in_virtual_time, now

METADATA = (("authorization", f"Bearer {KEY}"),)
REQUEST = pb.ChatCompletionRequest(
    model="a/one",
    messages=[pb.Message(role=pb.ROLE_USER, content=[pb.ContentPart(text="Hi")])],
)
UNAVAILABLE = grpc.StatusCode.UNAVAILABLE


class _Scene:
    """A service whose provider answers as `response` says, and stubs that call it in process."""

    def __init__(self, service: Service, response: Response) -> None:
        self.service = service
        self.response = response
        server = InProcessServer()
        service.register(server)
        self.chat = ChatCompletionServiceStub(server.channel())
        self.health = HealthStub(server.channel())

    def ask(self) -> Any:
        return self.chat.CreateChatCompletion(REQUEST, metadata=METADATA)

    def listen(self) -> Any:
        return self.chat.StreamChatCompletion(REQUEST, metadata=METADATA)

    async def drained(self) -> float:
        """Drain, and return how long that took."""
        began = now()
        await self.service.drain()
        return now() - began


@asynccontextmanager
async def serving(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, response: Response, **server: Any
) -> AsyncIterator[_Scene]:
    async def post(client: Any, url: str, headers: Any, body: bytes, asker: Asker) -> Response:
        asker.sent = True
        return response

    monkeypatch.setattr(HttpClient, "post", post)
    config = Config.model_validate(
        {
            "store": None,
            "server": server,
            "providers": {"acme": {"dialect": "openai", "base_url": "http://acme/v1"}},
            "models": {"a/one": {"targets": [{"provider": "acme"}]}},
            "keys": [key_entry("demo", KEY, ["*"])],
        }
    )
    service = Service(config, tmp_path, tmp_path, Metrics(known_labels(config)))
    try:
        yield _Scene(service, response)
    finally:
        await service.close()


async def code(call: Any) -> tuple[float, grpc.StatusCode]:
    """Return how a call ends, and when."""
    return await call.code(), now()


@in_virtual_time
async def test_an_open_call_has_the_grace_to_end_and_no_longer(monkeypatch, tmp_path):
    silence = Response((FOREVER, WHOLE))
    async with serving(monkeypatch, tmp_path, silence, drain=25) as scene:
        call = asyncio.ensure_future(code(scene.ask()))
        await asyncio.sleep(1)
        assert await scene.drained() == 25
        assert await call == (UNAVAILABLE, 26)
        assert silence.closed == 26


@in_virtual_time
async def test_who_ends_in_time_is_not_cut_and_not_waited_for_afterwards(monkeypatch, tmp_path):
    async with serving(monkeypatch, tmp_path, Response((24, WHOLE)), drain=25) as scene:
        call = asyncio.ensure_future(code(scene.ask()))
        await asyncio.sleep(1)
        assert await scene.drained() == 23
        assert await call == (grpc.StatusCode.OK, 24)


@in_virtual_time
async def test_calls_are_taken_for_the_time_of_the_notice_while_health_says_no(
    monkeypatch, tmp_path
):
    slow = Response((FOREVER, WHOLE))
    async with serving(monkeypatch, tmp_path, slow, drain=25, notice=10) as scene:
        draining = asyncio.create_task(scene.drained())
        await asyncio.sleep(9)
        answer = await scene.health.Check(HealthCheckRequest())
        assert answer.status == answer.NOT_SERVING
        taken = asyncio.ensure_future(code(scene.ask()))
        await asyncio.sleep(2)
        assert await code(scene.ask()) == (UNAVAILABLE, 11)
        assert await taken == (UNAVAILABLE, 35)
        assert await draining == 35


@in_virtual_time
async def test_who_does_not_read_that_it_was_cut_is_left_a_second_later(monkeypatch, tmp_path):
    talks = Response(*[(0, CONTENT)] * 1000)
    async with serving(monkeypatch, tmp_path, talks, drain=25) as scene:
        stream = scene.listen()
        await stream.read()
        assert await scene.drained() == 25 + 0.5 + 0.5
        assert await code(stream) == (UNAVAILABLE, 26)
