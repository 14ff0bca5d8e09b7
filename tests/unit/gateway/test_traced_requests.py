"""Which span a request of the REST door has, and what the service is told of the trace."""

from __future__ import annotations

from collections.abc import AsyncIterator

import grpc
import pytest
from multidict import CIMultiDict

from gateway.app import Settings, build_app
from gateway.door import start_http
from tests.support.recording_tracer import RecordingTracer
from tests.unit.gateway.scripted_service import CHAT, Gateway, Service, hello

PARENT = f"00-{'a' * 32}-{'b' * 16}-01"
STREAM = hello(stream=True)


@pytest.fixture
def tracer() -> RecordingTracer:
    return RecordingTracer()


@pytest.fixture
async def traced(
    channel: grpc.aio.Channel, service: Service, tracer: RecordingTracer
) -> AsyncIterator[Gateway]:
    app = build_app(channel, Settings(), tracer=tracer)
    gateway = Gateway(await start_http(app, "127.0.0.1:0"), service)
    yield gateway
    await gateway.client.close()
    await gateway.door.stop(0)


@pytest.mark.parametrize("body", [hello(), STREAM], ids=["whole", "stream"])
async def test_the_service_is_told_of_the_requests_span_instead_of_the_callers(
    traced: Gateway, tracer: RecordingTracer, body: object
) -> None:
    headers = CIMultiDict({"Traceparent": PARENT, "Tracestate": "a=1"})
    headers.add("Tracestate", "b=2")
    await traced.request("POST", CHAT, json=body, headers=headers)
    (span,) = tracer.spans
    assert span.parent == (PARENT, "a=1,b=2")
    assert span.name == "POST /v1/chat/completions"
    told = traced.service.calls[-1].metadata
    assert told["traceparent"] == span.context.traceparent
    assert "tracestate" not in told
    assert (span.error, span.ended) == (None, 1)
    assert span.told["http.response.status_code"] == 200


async def test_two_parents_are_none(traced: Gateway, tracer: RecordingTracer) -> None:
    headers = CIMultiDict({"Traceparent": PARENT})
    headers.add("Traceparent", PARENT)
    await traced.request("POST", CHAT, json=hello(), headers=headers)
    assert tracer.spans[0].parent is None


@pytest.mark.parametrize(
    ("method", "path", "name", "status"),
    [
        ("GET", "/v1/models/the%20callers%20words", "GET /v1/models/{id}", 404),
        ("GET", "/the/callers/words", "GET", 404),
        ("PROPFIND", "/v1/chat/completions", "HTTP", 405),
        ("POST", "/v1/chat/completions", "POST /v1/chat/completions", 400),
    ],
)
async def test_a_refused_request_is_named_by_its_route_and_is_no_failure_of_ours(
    traced: Gateway, tracer: RecordingTracer, method: str, path: str, name: str, status: int
) -> None:
    reply = await traced.request(method, path)
    (span,) = tracer.spans
    assert span.name == name
    assert span.error is not None
    assert not span.error[1]
    assert span.told["http.response.status_code"] == reply.status == status
    assert "words" not in str(span.told) + str(span.error)


async def test_probes_are_not_traced(traced: Gateway, tracer: RecordingTracer) -> None:
    await traced.request("GET", "/livez")
    await traced.request("GET", "/readyz")
    assert tracer.spans == []


async def test_a_stream_that_ends_with_an_error_failed_though_its_status_was_sent(
    traced: Gateway, tracer: RecordingTracer, service: Service
) -> None:
    async def broken(request: object, context: grpc.aio.ServicerContext) -> AsyncIterator[object]:
        async for chunk in first_of(request, context):
            yield chunk
            break
        await context.abort(grpc.StatusCode.UNAVAILABLE, "gone")

    first_of, service.stream = service.stream, broken
    await traced.ask(STREAM)
    (span,) = tracer.spans
    assert span.told["http.response.status_code"] == 200
    assert span.error is not None
    assert span.error[1]
