"""What callers write makes no series: ten thousand names of models leave the page as it is."""

from __future__ import annotations

import asyncio
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import grpc
import pytest
from llmbase.v1 import chat_completion_pb2 as pb
from llmbase.v1.chat_completion_pb2_grpc import ChatCompletionServiceStub

from tests.support import config as configuration
from tests.support import deployments
from tests.support.asking import hello
from tests.support.call_log import until
from tests.support.config import KEY
from tests.support.deployments import Deployment
from tests.support.grpc_door import GrpcDoor
from tests.support.metrics_page import series
from tests.support.openai_wire import says
from tests.support.rest_door import RestDoor
from tests.support.scripted_upstream import ScriptedUpstream

UNKNOWN = "llmbase_model_calls_total", ("other", "MODEL_NOT_FOUND")
NAMES = 10_000
AT_ONCE = 50
WILD = 50
MANY_BYTES = 1_000  # that the page may grow by: numbers get longer


@pytest.fixture
def up(upstream: ScriptedUpstream, tmp_path: Path) -> Iterator[Deployment]:
    config = configuration.standard(upstream, metrics="127.0.0.1:0")
    with deployments.one_process(upstream, tmp_path, config) as deployment:
        yield deployment


async def test_ten_thousand_unknown_models_are_one_value(up: Deployment) -> None:
    async with grpc.aio.insecure_channel(up.grpc) as channel:
        stub = ChatCompletionServiceStub(channel)
        await _ask(stub, "no/such-model-at-first")
        before = await _counted(up, 1)
        names = iter(range(NAMES))
        await asyncio.gather(*(_ask_all(stub, names) for _ in range(AT_ONCE)))
    after = await _counted(up, NAMES + 1)
    assert series(after).keys() == series(before).keys()
    assert len(after) < len(before) + MANY_BYTES
    assert b"made-up" not in after


async def test_a_wildcards_models_are_counted_as_the_wildcard(
    up: Deployment, upstream: ScriptedUpstream
) -> None:
    upstream.otherwise(says("Hi"))
    async with GrpcDoor(up.grpc, KEY) as door:
        for number in range(WILD):
            assert (await door.ask(hello(f"wild/made-up-{number}", stream=True))).failure is None
    page = _page(up)
    assert series(page)["llmbase_model_calls_total", ("wild/*", "OK")] == WILD
    assert series(page)["llmbase_first_content_seconds_count", ("wild/*",)] == WILD
    assert series(page)["llmbase_breaker_targets", ("alpha", "closed")] == 1
    assert b"made-up" not in page


async def test_no_path_or_parameter_or_method_of_a_callers_makes_a_series(up: Deployment) -> None:
    async with RestDoor(up.http, KEY) as door:
        await _odd(door, 0)
        before = series(_page(up)).keys()
        for number in range(1, 50):
            await _odd(door, number)
    assert series(_page(up)).keys() == before


async def _odd(door: RestDoor, number: int) -> None:
    await door.get(f"/made-up-{number}")
    await door.get(f"/v1/models/made-up-{number}")
    async with door.session.request(f"MADE{number}", "/v1/models") as answer:
        await answer.read()
    await door.ask(hello("no/such", **{f"made_up_{number}": 1}))


async def _ask_all(stub: ChatCompletionServiceStub, names: Iterator[int]) -> None:
    for number in names:
        await _ask(stub, f"no/made-up-{number}")


async def _ask(stub: ChatCompletionServiceStub, model: str) -> None:
    message = pb.Message(role=pb.ROLE_USER, content=[pb.ContentPart(text="Hello")])
    request = pb.ChatCompletionRequest(model=model, messages=[message])
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await stub.CreateChatCompletion(request, metadata=(("authorization", f"Bearer {KEY}"),))
    assert caught.value.code() is grpc.StatusCode.NOT_FOUND


async def _counted(up: Deployment, calls: int) -> bytes:
    """The page, once so many calls are on it: a caller is told before its call is counted."""
    await until(lambda: series(_page(up)).get(UNKNOWN) == calls)
    return _page(up)


def _page(up: Deployment) -> bytes:
    with urllib.request.urlopen(f"http://{up.metrics}/metrics", timeout=10) as answer:
        page: bytes = answer.read()
    return page
