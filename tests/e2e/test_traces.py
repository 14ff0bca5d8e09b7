"""Traces as a real OTLP receiver gets them: one tree from the REST door to the provider."""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import AsyncIterator, Iterator
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
from tests.support.openai_wire import refuses, says
from tests.support.otlp import Span, Spans, named
from tests.support.rest_door import RestDoor
from tests.support.scripted_upstream import ScriptedUpstream
from tests.support.scripts import Script, stall

TRACE = "4bf92f3577b34da6a3ce929d0e0e4736"
CALLER = "00f067aa0ba902b7"
PROMPT = "a-canary-in-the-prompt"
REST = "POST /v1/chat/completions"
KNOWN = 21  # answers after which a target's usual time is known


@pytest.fixture
async def spans() -> AsyncIterator[Spans]:
    async with Spans() as receiver:
        yield receiver


@contextlib.contextmanager
def deployed(
    shape: str, upstream: ScriptedUpstream, directory: Path, spans: Spans, **telemetry: Any
) -> Iterator[Deployment]:
    config = configuration.standard(upstream)
    config["telemetry"] = {"traces": spans.url} | telemetry
    targets = (("alpha", "first"), ("beta", "second"))
    config["models"]["test/hedged"] = configuration.model(*targets, hedge={})
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


both_shapes = pytest.mark.parametrize("shape", ["up", "sidecar"])


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


@both_shapes
async def test_one_tree_leads_from_the_rest_door_over_two_attempts_to_the_providers(
    shape: str, spans: Spans, upstream: ScriptedUpstream, tmp_path: Path, streamed: bool
) -> None:
    upstream.on("first", refuses(503))
    upstream.on("second", says("Hi ", "there"))
    with deployed(shape, upstream, tmp_path, spans) as deployment:
        async with RestDoor(deployment.http, KEY) as door:
            answer = await door.ask(hello("test/two", stream=streamed))
            assert answer.complete
        found = await spans.until(lambda all: len(all) >= 4)
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


@both_shapes
async def test_a_hedge_is_an_attempt_of_its_own_and_the_slower_one_is_lost(
    shape: str, spans: Spans, upstream: ScriptedUpstream, tmp_path: Path, streamed: bool
) -> None:
    with deployed(shape, upstream, tmp_path, spans) as deployment:
        async with RestDoor(deployment.http, KEY) as door:
            for _ in range(KNOWN):
                upstream.on("first", says("Hello"))
                upstream.on("second", says("Hello"))
                assert (await door.ask(hello("test/hedged", stream=streamed))).complete
            upstream.reset()
            upstream.on("first", Script(before=[stall]))
            upstream.on("second", says("Hello"))
            headers = {"traceparent": f"00-{TRACE}-{CALLER}-01"}
            body = hello("test/hedged", stream=streamed)
            assert (await door.ask(body, headers=headers)).complete
        asked = [it.headers["traceparent"] for it in upstream.requests]
        found = await spans.until(lambda all: len([it for it in all if it.trace_id == TRACE]) >= 4)
    request, _, tried = tree([it for it in found if it.trace_id == TRACE], 2)
    assert request.parent == CALLER
    assert asked == [f"00-{TRACE}-{it.id}-01" for it in tried]
    slow, fast = tried
    assert [it.attributes["llmbase.attempt.outcome"] for it in tried] == ["lost", "answered"]
    assert [it.attributes["llmbase.attempt.kind"] for it in tried] == ["original", "hedge"]
    assert not slow.failed
    assert not fast.failed


@both_shapes
async def test_who_began_a_trace_decides_whether_it_is_recorded_and_all_are_told_so(
    shape: str, spans: Spans, upstream: ScriptedUpstream, tmp_path: Path
) -> None:
    upstream.on("one", says("Hi"))
    state = {"tracestate": "vendor=opaque"}
    with deployed(shape, upstream, tmp_path, spans, sampling=0) as deployment:
        async with RestDoor(deployment.http, KEY) as rest, GrpcDoor(deployment.grpc, KEY) as grpc:
            await rest.ask(hello())  # nobody has decided: we do, and record none
            await grpc.ask(hello())
            unwanted = {"traceparent": f"00-{'1' * 32}-{CALLER}-00", **state}
            wanted = {"traceparent": f"00-{TRACE}-{CALLER}-01", **state}
            await rest.ask(hello(), headers=unwanted)
            await rest.ask(hello(), headers=wanted)
        found = await spans.until(lambda all: len(all) >= 3)
    assert check_none_but(found, TRACE)
    request, _, (attempt,) = tree(found, 1)
    assert request.parent == CALLER
    told = [it.headers for it in upstream.requests]
    assert [it["traceparent"].endswith("-00") for it in told] == [True, True, True, False]
    assert told[2]["traceparent"].startswith(f"00-{'1' * 32}-")
    assert told[3]["traceparent"] == f"00-{TRACE}-{attempt.id}-01"
    assert [it.get("tracestate") for it in told] == [None, None, "vendor=opaque", "vendor=opaque"]


def check_none_but(spans: list[Span], trace: str) -> bool:
    return {span.trace_id for span in spans} == {trace}


@both_shapes
async def test_a_caller_that_leaves_ends_every_span_and_each_says_so(
    shape: str, spans: Spans, upstream: ScriptedUpstream, tmp_path: Path, streamed: bool
) -> None:
    started = says("Hel").events()[:2]
    upstream.on("one", Script([*started, stall]) if streamed else Script(before=[stall]))
    with deployed(shape, upstream, tmp_path, spans) as deployment:
        async with RestDoor(deployment.http, KEY) as door:
            asking = asyncio.create_task(door.ask(hello(stream=streamed)))
            exchange = await upstream.arrival(1)
            await asyncio.sleep(0.3 if streamed else 0)  # until the first content is through
            asking.cancel()
            await asyncio.wait([asking])
            await exchange.left.wait()
        found = await spans.until(lambda all: len(all) >= 3)
    request, rpc, (attempt,) = tree(found, 1)
    assert request.attributes["error.type"] == "cancelled"
    assert rpc.attributes["error.type"] == "CANCELLED"
    assert rpc.attributes["rpc.response.status_code"] == "CANCELLED"
    assert attempt.attributes["error.type"] == "cancelled"
    assert attempt.attributes["llmbase.attempt.outcome"] == "cancelled"
    assert not any(span.failed for span in (request, rpc, attempt))


async def test_no_prompt_and_no_key_is_in_any_span_however_a_call_goes(
    spans: Spans, upstream: ScriptedUpstream, tmp_path: Path
) -> None:
    upstream.on("one", says(PROMPT))
    upstream.on("first", refuses(400, message=f"{PROMPT} {PROVIDER_KEY}"))
    with deployed("up", upstream, tmp_path, spans) as deployment:
        async with RestDoor(deployment.http, KEY) as door:
            for model in ("test/one", "test/two", "test/dead", KEY, f"wild/{KEY}"):
                upstream.on(KEY, refuses(500))
                body = hello(model, messages=[{"role": "user", "content": PROMPT}])
                await door.ask(body)
                await door.ask(body | {"stream": True}, headers={"x-request-id": KEY})
            await door.get(f"/v1/models/{KEY}")
            await door.get(f"/{KEY}?{PROMPT}")
        async with RestDoor(deployment.http, KEY + "-unknown") as stranger:
            await stranger.ask(hello())
    await spans.until(lambda all: len(named(all, "HTTP")) + len(named(all, "GET")) >= 2)
    for canary in (PROMPT, KEY, PROVIDER_KEY):
        assert canary.encode() not in spans.raw


@both_shapes
async def test_content_is_told_where_it_is_wanted_but_never_a_key(
    shape: str, spans: Spans, upstream: ScriptedUpstream, tmp_path: Path, streamed: bool
) -> None:
    upstream.on("one", says("Hello ", f"{PROVIDER_KEY[:9]}", PROVIDER_KEY[9:], " there"))
    prompt = f"{PROMPT} {KEY} {PROVIDER_KEY} sk-abcdefghijklmnop0123 me@example.com"
    body = hello(stream=streamed, messages=[{"role": "user", "content": prompt}])
    with deployed(shape, upstream, tmp_path, spans, content=True) as deployment:
        async with RestDoor(deployment.http, KEY) as door:
            assert (await door.ask(body)).complete
        found = await spans.until(lambda all: len(all) >= 3)
    _, rpc, _ = tree(found, 1)
    assert rpc.attributes["gen_ai.input.messages"] == (
        '[{"role":"user","parts":[{"type":"text","content":'
        f'"{PROMPT} [redacted] [redacted] [redacted] [redacted]"}}]}}]'
    )
    assert rpc.attributes["gen_ai.output.messages"] == (
        '[{"role":"assistant","parts":[{"type":"text","content":"Hello [redacted] there"}],'
        '"finish_reason":"stop"}]'
    )
    for canary in (KEY, PROVIDER_KEY):
        assert canary.encode() not in spans.raw


async def test_what_is_still_to_be_sent_is_sent_at_the_end(
    spans: Spans, upstream: ScriptedUpstream, tmp_path: Path
) -> None:
    upstream.on("one", says("Hi"))
    with deployed("sidecar", upstream, tmp_path, spans) as deployment:
        async with RestDoor(deployment.http, KEY) as door:
            await door.ask(hello())
    tree(await spans.until(lambda all: len(all) >= 3), 1)


@pytest.mark.parametrize("collector", ["away", "hanging"])
async def test_a_collector_that_is_no_good_delays_no_call_and_the_end_by_two_seconds(
    collector: str, upstream: ScriptedUpstream, tmp_path: Path
) -> None:
    upstream.on("one", says("Hi"))
    hanging = await asyncio.start_server(lambda *_: asyncio.sleep(60), "127.0.0.1", 0)
    port = hanging.sockets[0].getsockname()[1] if collector == "hanging" else 1
    config = configuration.standard(upstream)
    config["telemetry"] = {"traces": f"http://127.0.0.1:{port}"}
    try:
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
            assert time.monotonic() - began < 2 + 3
            if collector == "away":
                assert '"message":"spans lost"' in process.log
            assert "Traceback" not in process.log
    finally:
        hanging.close()
