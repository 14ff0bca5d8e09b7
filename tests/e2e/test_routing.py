"""Routing seen from outside: breakers, hedges, continuation, traces and explanations."""

from __future__ import annotations

import asyncio
import json
import os
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Iterator

import aiohttp
import grpc
import pytest
from llmbase.v1 import chat_completion_pb2 as pb
from llmbase.v1 import routing_pb2
from llmbase.v1.routing_pb2_grpc import RoutingServiceStub

from tests.conftest import Door, Entrance
from tests.support import config as configuration
from tests.support import deployments
from tests.support.asking import hello
from tests.support.config import KEY
from tests.support.deployments import Deployment
from tests.support.grpc_door import GrpcDoor
from tests.support.hedging import UNHEDGED, make_known
from tests.support.openai_wire import refuses, says, stream
from tests.support.proto_request import proto_request
from tests.support.scripted_upstream import ScriptedUpstream
from tests.support.scripts import Script, cut, stall

TRACE = "llmbase-route-trace-bin"
ROLE, HEL, LO, FINISH, *_ = says("Hel", "lo").events()
WITHIN = 0.2  # seconds: the bound of the API's contract


@pytest.fixture(scope="module")
def routed(
    _upstream: ScriptedUpstream, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Deployment]:
    """One process whose breakers are on, with models for each way of routing."""
    config = configuration.standard(_upstream)
    for name in ("frail", "frail-too"):
        config["providers"][name] = configuration.provider(_upstream.url(f"/{name}")) | {
            "breaker": {"failures": 2, "open": "60s"}
        }
    targets = (("alpha", "first"), ("beta", "second"))
    config["models"]["test/frail"] = configuration.model(("frail", "first"), ("beta", "second"))
    config["models"]["test/key"] = configuration.model(("frail-too", "keyed"))
    config["models"]["test/hedged"] = configuration.model(*targets, hedge={})
    config["models"][UNHEDGED] = configuration.model(targets[0])
    resuming = configuration.model(*targets)
    resuming["targets"][1]["continuation"] = True
    config["models"]["test/resuming"] = resuming
    with deployments.one_process(_upstream, tmp_path_factory.mktemp("routed"), config) as found:
        yield found


@pytest.fixture(params=["grpc", "rest"])
async def way(
    request: pytest.FixtureRequest, routed: Deployment, upstream: ScriptedUpstream
) -> AsyncIterator[Door]:
    """Each door of that process in turn."""
    async with Entrance(request.param, routed).open(KEY) as door:
        yield door


async def test_a_target_that_fails_again_and_again_is_left_alone(
    routed: Deployment, upstream: ScriptedUpstream
) -> None:
    async with GrpcDoor(routed.grpc, KEY) as door:
        for _ in range(4):
            upstream.on("second", says("Hello"))
        for _ in range(2):
            upstream.on("first", refuses(500))
            assert (await door.ask(hello("test/frail"))).complete
        answers = [await door.ask(hello("test/frail")) for _ in range(2)]
        assert [answer.route.attempts for answer in answers if answer.route] == [1, 1]
        assert [request.json["model"] for request in upstream.requests].count("first") == 2

        call = door.chat.CreateChatCompletion(
            proto_request(hello("test/frail")), metadata=door.metadata()
        )
        upstream.on("second", says("Hello"))
        await call
        trace = _trace(await call.trailing_metadata())
        verdicts = [routing_pb2.RouteVerdict.Name(it.verdict) for it in trace.candidates]
        assert verdicts == ["ROUTE_VERDICT_BREAKER_OPEN", "ROUTE_VERDICT_TAKEN"]
        assert [it.outcome for it in trace.attempts] == ["answered"]


async def test_when_every_breaker_is_open_the_caller_is_told_when_to_come_back(
    way: Door, upstream: ScriptedUpstream
) -> None:
    upstream.on("keyed", refuses(401))
    first = await way.ask(hello("test/key"))
    again = await way.ask(hello("test/key"))
    for answer in (first, again):
        assert answer.failure is not None
        assert answer.failure.code == "all_providers_failed"
    assert again.failure is not None and again.failure.retry_after is not None
    assert 1 <= again.failure.retry_after <= 90
    assert len(upstream.requests) <= 1, "the second was not asked at all"


async def test_an_error_has_a_trace_too(routed: Deployment, upstream: ScriptedUpstream) -> None:
    upstream.on("one", refuses(503))
    async with GrpcDoor(routed.grpc, KEY) as door:
        call = door.chat.CreateChatCompletion(proto_request(hello()), metadata=door.metadata())
        with pytest.raises(grpc.aio.AioRpcError) as raised:
            await call
        trace = _trace(raised.value.trailing_metadata())
        assert [(it.outcome, it.status) for it in trace.attempts] == [("status", 503)]


async def test_a_slow_first_target_is_hedged_and_the_loser_released(
    way: Door, upstream: ScriptedUpstream, streamed: bool
) -> None:
    body = hello("test/hedged", stream=streamed)
    await make_known(way, upstream, body)
    upstream.reset()
    upstream.on("first", Script(before=[stall]))
    upstream.on("second", says("Hello"))

    answer = await way.ask(body)

    assert answer.complete
    assert answer.route is not None
    assert (answer.route.provider, answer.route.attempts) == ("beta", 2)
    loser = await upstream.arrival(1)
    assert loser.request.json["model"] == "first"
    await loser.left.wait()


async def test_a_caller_that_leaves_during_a_hedge_releases_both(
    way: Door, upstream: ScriptedUpstream
) -> None:
    body = hello("test/hedged")
    await make_known(way, upstream, body)
    best = 9.0
    for _ in range(5):
        upstream.reset()
        upstream.on("first", Script(before=[stall]))
        upstream.on("second", Script(before=[stall]))
        asking = asyncio.create_task(way.ask(body))
        both = [await upstream.arrival(1), await upstream.arrival(2)]
        began = time.monotonic()
        asking.cancel()
        ends = [await exchange.left.wait() for exchange in both]
        best = min(best, max(ends) - began)
        assert len(upstream.requests) == 2
    assert best < WITHIN


async def test_a_broken_stream_is_continued_where_caller_and_target_allow_it(
    way: Door, routed: Deployment, upstream: ScriptedUpstream
) -> None:
    upstream.on("first", stream(ROLE, HEL, cut))
    upstream.on("second", says("lo"))
    body = hello("test/resuming", stream=True) | {"llmbase": {"continuation": "allow"}}

    if isinstance(way, GrpcDoor):
        del body["llmbase"]
        request = proto_request(body)
        request.llmbase.continuation = pb.ChatCompletionRequest.CONTINUATION_ALLOW
        call = way.chat.StreamChatCompletion(request, metadata=way.metadata())
        chunks = [chunk async for chunk in call]
        seams = [chunk.resumed for chunk in chunks if chunk.HasField("resumed")]
        assert seams == [pb.Resumed(reason="UPSTREAM_TRUNCATED", provider="beta", characters=3)]
        text = "".join(delta.content for chunk in chunks for delta in chunk.choices)
        assert text == "Hello"
        trace = _trace(await call.trailing_metadata())
        assert [it.outcome for it in trace.attempts] == ["truncated", "answered"]
    else:
        events = await _events(routed, body)
        assert events[-1] == "[DONE]"
        parsed = [json.loads(event) for event in events[:-1]]
        assert [it["llmbase"]["resumed"] for it in parsed if "llmbase" in it] == [
            {"reason": "upstream_truncated", "provider": "beta", "characters": 3}
        ]
        deltas = [choice["delta"] for it in parsed for choice in it["choices"]]
        assert "".join(delta.get("content", "") for delta in deltas) == "Hello"
    sent = upstream.requests[1].json["messages"]
    assert sent[-1] == {"role": "assistant", "content": "Hel"}


async def test_without_leave_a_broken_stream_is_an_error(
    way: Door, upstream: ScriptedUpstream
) -> None:
    upstream.on("first", stream(ROLE, HEL, cut))
    answer = await way.ask(hello("test/resuming", stream=True))
    assert answer.failure is not None
    assert answer.failure.code == "upstream_truncated"


async def test_a_route_is_explained_without_asking_anybody(
    routed: Deployment, upstream: ScriptedUpstream
) -> None:
    async with GrpcDoor(routed.grpc, KEY) as door:
        stub = RoutingServiceStub(door.channel)
        request = routing_pb2.ExplainRouteRequest(request=proto_request(hello("test/two")))
        response = await stub.ExplainRoute(request, metadata=door.metadata())
        assert [(it.provider, it.provider_model) for it in response.trace.candidates] == [
            ("alpha", "first"),
            ("beta", "second"),
        ]
        assert not response.trace.attempts
        with pytest.raises(grpc.aio.AioRpcError) as raised:
            await stub.ExplainRoute(request)
        assert raised.value.code() is grpc.StatusCode.UNAUTHENTICATED
    assert upstream.requests == []


def test_the_command_line_explains_too(routed: Deployment, upstream: ScriptedUpstream) -> None:
    command = [sys.executable, "-m", "cli", "explain", "--grpc", routed.grpc, "test/two", "hi"]
    environment = os.environ | {"LLMBASE_API_KEY": KEY}
    done = subprocess.run(
        command, env=environment, capture_output=True, text=True, timeout=60, check=True
    )
    lines = done.stdout.splitlines()
    assert lines[0].split()[:2] == ["MODEL", "PROVIDER"]
    assert lines[1].split()[:5] == ["1.", "test/two", "alpha", "first", "taken"]
    assert lines[2].split()[:5] == ["2.", "test/two", "beta", "second", "taken"]


def _trace(metadata: object) -> routing_pb2.RouteTrace:
    found = dict(metadata)  # type: ignore[call-overload]
    return routing_pb2.RouteTrace.FromString(found[TRACE])


async def _events(routed: Deployment, body: dict[str, object]) -> list[str]:
    async with (
        aiohttp.ClientSession() as session,
        session.post(
            f"{routed.http}/v1/chat/completions",
            json=body,
            headers={"Authorization": f"Bearer {KEY}"},
        ) as response,
    ):
        assert response.status == 200
        text = await response.text()
    return [line.removeprefix("data: ") for line in text.split("\n\n") if line.startswith("data: ")]
