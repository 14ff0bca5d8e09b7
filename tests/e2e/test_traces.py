"""Traces as a real OTLP receiver gets them: one tree from the REST door to the provider."""

from __future__ import annotations

import asyncio
import contextlib
import secrets
import socket
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.conftest import KEY, check_end
from tests.support import config as configuration
from tests.support import deployments
from tests.support.asking import hello
from tests.support.config import PROVIDER_KEY
from tests.support.deployments import Deployment
from tests.support.grpc_door import GrpcDoor
from tests.support.hedging import UNHEDGED, make_known
from tests.support.openai_wire import refuses, says
from tests.support.otlp import Span, Spans, named, receiving
from tests.support.rest_door import RestDoor
from tests.support.scripted_upstream import ScriptedUpstream
from tests.support.scripts import Script, stall
from tests.support.signals import Signal

CALLER = "00f067aa0ba902b7"
REST = "POST /v1/chat/completions"
SHAPES = ["up", pytest.param("sidecar", marks=pytest.mark.matrix)]


@pytest.fixture(scope="module")
def spans() -> Iterator[Spans]:
    with receiving() as receiver:
        yield receiver


@contextlib.contextmanager
def deployed(
    shape: str, upstream: ScriptedUpstream, directory: Path, spans: Spans, **telemetry: Any
) -> Iterator[Deployment]:
    config = configuration.standard(upstream)
    config["telemetry"] = {"traces": spans.url} | telemetry
    targets = (("alpha", "first"), ("beta", "second"))
    config["models"]["test/hedged"] = configuration.model(*targets, hedge={})
    config["models"][UNHEDGED] = configuration.model(targets[0])
    if shape == "up":
        with deployments.one_process(upstream, directory, config) as deployment:
            yield deployment
            check_end(deployment)
        return
    sampling = str(telemetry.get("sampling", 1.0))
    environment = {"OTEL_EXPORTER_OTLP_ENDPOINT": spans.url, "LLMBASE_TRACE_SAMPLING": sampling}
    with deployments.sidecar(upstream, directory, config, environment=environment) as deployment:
        yield deployment
        check_end(deployment)


@pytest.fixture(scope="module", params=["up", "sidecar"])
def traced(
    request: pytest.FixtureRequest,
    _upstream: ScriptedUpstream,
    tmp_path_factory: pytest.TempPathFactory,
    spans: Spans,
) -> Iterator[Deployment]:
    """The product in both shapes, all of whose calls are traced."""
    directory = tmp_path_factory.mktemp(request.param)
    with deployed(request.param, _upstream, directory, spans) as deployment:
        yield deployment


def tree(spans: list[Span], attempts: int) -> tuple[Span, Span, list[Span]]:
    """The request, its RPC and its attempts, which belong to one another."""
    (request,) = named(spans, REST)
    (rpc,) = named(spans, "llmbase.v1.ChatCompletionService/")
    tried = named(spans, "chat ")
    assert len(tried) == attempts
    assert {span.trace_id for span in spans} == {request.trace_id}
    assert rpc.parent == request.id
    assert {span.parent for span in tried} == {rpc.id}
    return request, rpc, tried


def fresh() -> str:
    return secrets.token_hex(16)


async def test_one_tree_leads_from_the_rest_door_over_two_attempts_to_the_providers(
    traced: Deployment, spans: Spans, upstream: ScriptedUpstream, streamed: bool
) -> None:
    upstream.on("first", refuses(503))
    upstream.on("second", says("Hi ", "there"))
    request_id = fresh()
    async with RestDoor(traced.http, KEY) as door:
        body = hello("test/two", stream=streamed)
        assert (await door.ask(body, headers={"x-request-id": request_id})).complete
    found = await spans.of(request_id, 4)
    request, rpc, (first, second) = tree(found, 2)
    assert [it.headers["traceparent"] for it in upstream.requests] == [
        f"00-{it.trace_id}-{it.id}-01" for it in (first, second)
    ]
    assert request.parent == ""
    assert request.attributes["http.request.method"] == "POST"
    assert request.attributes["http.route"] == "/v1/chat/completions"
    assert request.attributes["http.response.status_code"] == 200
    assert rpc.attributes["rpc.response.status_code"] == "OK"
    assert rpc.attributes["llmbase.caller"] == "all"
    assert rpc.attributes["gen_ai.request.model"] == "test/two"
    assert rpc.attributes["llmbase.attempts"] == 2
    assert rpc.attributes["llmbase.request_id"] == request.attributes["llmbase.request_id"]
    assert (first.failed, first.attributes["error.type"]) == (True, "status")
    assert first.attributes["http.response.status_code"] == 503
    assert first.attributes["server.address"] == "127.0.0.1"
    assert first.attributes["server.port"] == upstream.port
    told = second.attributes
    assert (second.failed, told["llmbase.attempt.outcome"]) == (False, "answered")
    assert told["gen_ai.operation.name"] == "chat"
    assert told["gen_ai.provider.name"] == "openai"
    assert told["gen_ai.request.model"] == "second"
    assert told["gen_ai.response.finish_reasons"] == ["stop"]
    assert told["gen_ai.usage.input_tokens"] == 12
    assert told["gen_ai.usage.output_tokens"] == 3
    assert told["gen_ai.request.stream"] is streamed
    assert second.events == (["llmbase.first_content"] if streamed else [])
    assert not {name for span in found for name in span.attributes if "messages" in name}


async def test_a_hedge_is_an_attempt_of_its_own_and_the_slower_one_is_lost(
    traced: Deployment, spans: Spans, upstream: ScriptedUpstream, streamed: bool
) -> None:
    trace = fresh()
    body = hello("test/hedged", stream=streamed)
    async with RestDoor(traced.http, KEY) as door:
        await make_known(door, upstream, body)
        upstream.reset()
        upstream.on("first", Script(before=[stall]))
        upstream.on("second", says("Hello"))
        parent = f"00-{trace}-{CALLER}-01"
        assert (await door.ask(body, headers={"traceparent": parent})).complete
    asked = [it.headers["traceparent"] for it in upstream.requests]
    request, _, tried = tree(await spans.of_trace(trace, 4), 2)
    assert request.parent == CALLER
    assert asked == [f"00-{trace}-{it.id}-01" for it in tried]
    slow, fast = tried
    assert [it.attributes["llmbase.attempt.outcome"] for it in tried] == ["lost", "answered"]
    assert [it.attributes["llmbase.attempt.kind"] for it in tried] == ["original", "hedge"]
    assert not slow.failed
    assert not fast.failed


@pytest.mark.parametrize("shape", SHAPES)
async def test_who_began_a_trace_decides_whether_it_is_recorded_and_all_are_told_so(
    shape: str, spans: Spans, upstream: ScriptedUpstream, tmp_path: Path
) -> None:
    upstream.on("one", says("Hi"))
    unwanted, wanted, before = fresh(), fresh(), len(spans.all)
    state = {"tracestate": "vendor=opaque"}
    with deployed(shape, upstream, tmp_path, spans, sampling=0) as deployment:
        async with RestDoor(deployment.http, KEY) as rest, GrpcDoor(deployment.grpc, KEY) as grpc:
            await rest.ask(hello())  # nobody has decided: we do, and record none
            await grpc.ask(hello())
            for trace, flags in ((unwanted, "00"), (wanted, "01")):
                headers = {"traceparent": f"00-{trace}-{CALLER}-{flags}", **state}
                await rest.ask(hello(), headers=headers)
    found = await spans.of_trace(wanted, 3)
    assert len(spans.all) == before + len(found), "the others are not recorded"
    request, _, (attempt,) = tree(found, 1)
    assert request.parent == CALLER
    told = [it.headers for it in upstream.requests]
    assert [it["traceparent"][-3:] for it in told] == ["-00", "-00", "-00", "-01"]
    assert told[2]["traceparent"].startswith(f"00-{unwanted}-")
    assert told[3]["traceparent"] == f"00-{wanted}-{attempt.id}-01"
    assert [it.get("tracestate") for it in told] == [None, None, "vendor=opaque", "vendor=opaque"]


async def test_a_caller_that_leaves_ends_every_span_and_each_says_so(
    traced: Deployment, spans: Spans, upstream: ScriptedUpstream, streamed: bool
) -> None:
    started = says("Hel").events()[:2]
    upstream.on("one", Script([*started, stall]) if streamed else Script(before=[stall]))
    request_id, first = fresh(), Signal()
    async with RestDoor(traced.http, KEY) as door:
        headers = {"x-request-id": request_id}
        body = hello(stream=streamed)
        asking = asyncio.create_task(door.ask(body, headers=headers, first=first))
        exchange = await upstream.arrival(1)
        if streamed:
            await first.wait()
        asking.cancel()
        await asyncio.wait([asking])
        await exchange.left.wait()
    request, rpc, (attempt,) = tree(await spans.of(request_id, 3), 1)
    assert request.attributes["error.type"] == "cancelled"
    assert rpc.attributes["error.type"] == "CANCELLED"
    assert rpc.attributes["rpc.response.status_code"] == "CANCELLED"
    assert attempt.attributes["error.type"] == "cancelled"
    assert attempt.attributes["llmbase.attempt.outcome"] == "cancelled"
    assert not any(span.failed for span in (request, rpc, attempt))


async def test_no_prompt_and_no_key_is_in_any_span_however_a_call_goes(
    traced: Deployment, spans: Spans, upstream: ScriptedUpstream
) -> None:
    prompt, last = f"canary-{fresh()}", fresh()
    upstream.on("one", says(prompt))
    upstream.on("first", refuses(400, message=f"{prompt} {PROVIDER_KEY}"))
    upstream.on(KEY, refuses(500, message=prompt))
    async with RestDoor(traced.http, KEY) as door, GrpcDoor(traced.grpc, KEY) as grpc:
        for model in ("test/one", "test/two", "test/dead", KEY, f"wild/{KEY}"):
            body = hello(model, messages=[{"role": "user", "content": prompt}])
            await door.ask(body)
            await door.ask(body | {"stream": True}, headers={"x-request-id": KEY})
            await grpc.ask(body)
        await door.get(f"/v1/models/{KEY}")
        await door.get(f"/{KEY}?{prompt}")
    async with RestDoor(traced.http, KEY + "-unknown") as stranger:
        await stranger.ask(hello(), headers={"x-request-id": last, "traceparent": prompt})
    await spans.of(last, 2)
    await asyncio.sleep(1.2)  # for those that another process still has
    for canary in (prompt, KEY, PROVIDER_KEY):
        assert canary.encode() not in spans.raw


@pytest.mark.parametrize("shape", SHAPES)
async def test_content_is_told_where_it_is_wanted_but_never_a_key(
    shape: str, spans: Spans, upstream: ScriptedUpstream, tmp_path: Path
) -> None:
    upstream.on("one", says("Hello ", PROVIDER_KEY[:9], PROVIDER_KEY[9:], " there"))
    prompt = f"Mind {KEY} {PROVIDER_KEY} sk-abcdefghijklmnop0123 me@example.com"
    messages = [{"role": "user", "content": prompt}]
    ids = {False: fresh(), True: fresh()}
    with deployed(shape, upstream, tmp_path, spans, content=True) as deployment:
        async with RestDoor(deployment.http, KEY) as door:
            for streamed, request_id in ids.items():
                body = hello(stream=streamed, messages=messages)
                assert (await door.ask(body, headers={"x-request-id": request_id})).complete
    for request_id in ids.values():
        _, rpc, _ = tree(await spans.of(request_id, 3), 1)
        assert rpc.attributes["gen_ai.input.messages"] == (
            '[{"role":"user","parts":[{"type":"text","content":'
            '"Mind [redacted] [redacted] [redacted] [redacted]"}]}]'
        )
        assert rpc.attributes["gen_ai.output.messages"] == (
            '[{"role":"assistant","parts":[{"type":"text","content":"Hello [redacted] there"}],'
            '"finish_reason":"stop"}]'
        )
    for canary in (KEY, PROVIDER_KEY):
        assert canary.encode() not in spans.raw


async def test_what_is_still_to_be_sent_at_the_end_is_sent(
    spans: Spans, upstream: ScriptedUpstream, tmp_path: Path
) -> None:
    upstream.on("one", says("Hi"))
    request_id = fresh()
    with deployed("sidecar", upstream, tmp_path, spans) as deployment:
        async with RestDoor(deployment.http, KEY) as door:
            await door.ask(hello(), headers={"x-request-id": request_id})
    assert len(await spans.of(request_id, 3)) == 3


@pytest.mark.parametrize("collector", ["away", "hanging"])
async def test_a_collector_that_is_no_good_delays_no_call_and_the_end_by_two_seconds(
    collector: str, upstream: ScriptedUpstream, tmp_path: Path
) -> None:
    upstream.on("one", says("Hi"))
    config = configuration.standard(upstream)
    with socket.create_server(("127.0.0.1", 0)) as hanging:  # it lets in, and says nothing
        port = hanging.getsockname()[1] if collector == "hanging" else 1
        config["telemetry"] = {"traces": f"http://127.0.0.1:{port}"}
        with deployments.one_process(upstream, tmp_path, config) as deployment:
            async with RestDoor(deployment.http, KEY) as door:
                best = 9.0
                for _ in range(20):
                    began = time.monotonic()
                    assert (await door.ask(hello())).complete
                    best = min(best, time.monotonic() - began)
            assert best < 0.2
            began = time.monotonic()
            (process,) = deployment.processes
            assert await asyncio.to_thread(process.stop) == 0
            assert time.monotonic() - began < 10  # two seconds, and what a busy machine takes
            assert '"message":"spans lost"' in process.log
            assert "Traceback" not in process.log
