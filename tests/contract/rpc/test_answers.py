"""What a gRPC client can rely on beside the messages: metadata, sizes, statuses, pings."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import grpc
import pytest
from llmbase.v1 import chat_completion_pb2 as pb
from llmbase.v1.error_reason_pb2 import ErrorReason

from tests.support import failures
from tests.support.asking import hello
from tests.support.config import KEY
from tests.support.deployments import Deployment
from tests.support.grpc_door import GrpcDoor
from tests.support.openai_wire import echoes, refuses, says, stream
from tests.support.proto_request import proto_request
from tests.support.scripted_upstream import ScriptedUpstream
from tests.support.scripts import Script, hold, stall
from tests.support.signals import Signal


@pytest.fixture(params=["one_process", "sidecar"])
async def stubs(
    request: pytest.FixtureRequest, upstream: ScriptedUpstream
) -> AsyncIterator[GrpcDoor]:
    """The gRPC door of each shape in turn."""
    deployment: Deployment = request.getfixturevalue(request.param)
    async with GrpcDoor(deployment.grpc, KEY) as door:
        yield door


async def test_the_route_is_in_the_initial_metadata_too(
    stubs: GrpcDoor, streamed: bool, upstream: ScriptedUpstream
) -> None:
    upstream.on("gone", refuses(500))
    upstream.on("understudy", says("Hello"))
    request, metadata = proto_request(hello("test/gone")), stubs.metadata()

    call: Any
    if streamed:
        call = stubs.chat.StreamChatCompletion(request, metadata=metadata)
        route = (await call.read()).route
    else:
        call = stubs.chat.CreateChatCompletion(request, metadata=metadata)
        route = (await call).route
    told = dict(await call.initial_metadata())
    call.cancel()

    assert told["x-llmbase-requested-model"] == route.requested_model == "test/gone"
    assert told["x-llmbase-served-model"] == route.served_model == "test/understudy"
    assert told["x-llmbase-provider"] == route.provider == "beta"
    assert told["x-llmbase-attempts"] == str(route.attempts) == "2"
    assert told["x-llmbase-fallback-applied"] == "true"
    assert told["x-llmbase-fallback-reason"] == route.fallback_reason == "model_unavailable"
    assert told["x-llmbase-fallback-chain"] == ",".join(route.fallback_chain)


async def test_messages_of_many_megabytes_pass_both_ways(
    stubs: GrpcDoor, streamed: bool, upstream: ScriptedUpstream
) -> None:
    upstream.on("one", echoes)
    text = "é" * 8_000_000

    answer = await stubs.ask(hello(stream=streamed, messages=[{"role": "user", "content": text}]))

    assert answer.text == text


async def test_a_message_over_the_limit_is_refused(
    stubs: GrpcDoor, upstream: ScriptedUpstream
) -> None:
    message = pb.Message(role=pb.ROLE_USER, content=[pb.ContentPart(text="x" * 70_000_000)])
    request = pb.ChatCompletionRequest(model="test/one", messages=[message])

    with pytest.raises(grpc.aio.AioRpcError) as error:
        await stubs.chat.CreateChatCompletion(request, metadata=stubs.metadata())

    assert error.value.code() == grpc.StatusCode.RESOURCE_EXHAUSTED
    assert not upstream.requests


async def test_enums_and_choices_that_are_not_set_are_refused(stubs: GrpcDoor) -> None:
    text = [pb.ContentPart(text="x")]
    said = [pb.Message(role=pb.ROLE_USER, content=text)]
    faulty = {
        "messages[0].role": pb.ChatCompletionRequest(messages=[pb.Message(content=text)]),
        "messages[0].content[0].type": pb.ChatCompletionRequest(
            messages=[pb.Message(role=pb.ROLE_USER, content=[pb.ContentPart()])]
        ),
        "tool_choice": pb.ChatCompletionRequest(messages=said, tool_choice=pb.ToolChoice()),
    }
    for field, request in faulty.items():
        request.model = "test/one"
        with pytest.raises(grpc.aio.AioRpcError) as error:
            await stubs.chat.CreateChatCompletion(request, metadata=stubs.metadata())

        assert failures.from_rpc_error(error.value).param == field


async def test_numbers_of_enums_that_do_not_exist_are_refused(stubs: GrpcDoor) -> None:
    said = [pb.Message(role=pb.ROLE_USER, content=[pb.ContentPart(text="x")])]
    request = pb.ChatCompletionRequest(model="test/one", messages=said)
    # Open enums: a newer client may know more of them than we do.
    unknown = request.SerializeToString() + b"\x70\x63"
    assert pb.ChatCompletionRequest.FromString(unknown).reasoning_effort == 99

    with pytest.raises(grpc.aio.AioRpcError) as error:
        await stubs.chat.CreateChatCompletion(
            pb.ChatCompletionRequest.FromString(unknown), metadata=stubs.metadata()
        )

    assert failures.from_rpc_error(error.value).param == "reasoning_effort"


async def test_a_method_that_does_not_exist_is_unimplemented(stubs: GrpcDoor) -> None:
    ask: Any = stubs.channel.unary_unary("/llmbase.v1.ChatCompletionService/NoSuchMethod")

    with pytest.raises(grpc.aio.AioRpcError) as error:
        await ask(b"", metadata=stubs.metadata())

    assert error.value.code() == grpc.StatusCode.UNIMPLEMENTED


async def test_a_message_that_is_no_request_is_an_error_and_no_hang(stubs: GrpcDoor) -> None:
    ask: Any = stubs.channel.unary_unary("/llmbase.v1.ChatCompletionService/CreateChatCompletion")

    with pytest.raises(grpc.aio.AioRpcError) as error:
        await ask(b"\xff\xff\xff", metadata=stubs.metadata(), timeout=5)

    assert error.value.code() is grpc.StatusCode.INVALID_ARGUMENT


def test_the_table_of_the_tests_has_every_reason_that_can_occur() -> None:
    names = {name.removeprefix("ERROR_REASON_") for name in ErrorReason.keys()}  # noqa: SIM118

    assert names - {"UNSPECIFIED"} == set(failures.REASONS)


async def test_a_slow_whole_answer_survives_a_client_that_pings(
    one_process: Deployment, upstream: ScriptedUpstream
) -> None:
    # A server with gRPC's defaults takes the third ping without data for an attack: GOAWAY.
    go_on = Signal()
    upstream.on("one", Script([says("Hello").body()], before=[hold(go_on)]))
    pings = [("grpc.keepalive_time_ms", 200), ("grpc.http2.max_pings_without_data", 0)]
    async with GrpcDoor(one_process.grpc, KEY, pings) as door:
        asking = asyncio.create_task(door.ask(hello()))
        await asyncio.sleep(3)  # fifteen pings
        go_on.set()
        answer = await asking

    assert answer.text == "Hello"


async def test_a_client_that_cancels_is_told_cancelled(
    stubs: GrpcDoor, upstream: ScriptedUpstream
) -> None:
    upstream.on("one", stream(stall))
    call = stubs.chat.StreamChatCompletion(proto_request(hello()), metadata=stubs.metadata())
    exchange = await upstream.arrival(1)

    call.cancel()

    assert await call.code() == grpc.StatusCode.CANCELLED
    await exchange.left.wait()
