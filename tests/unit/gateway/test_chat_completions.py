"""The handler: what goes to the service, what comes back, and as which HTTP answer."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any

import grpc
import pytest
from llmbase.v1 import chat_completion_pb2 as pb

from gateway.app import Settings
from gateway.transcoding.chunks import StreamRenderer
from tests.support.openai_schema import check
from tests.unit.gateway.scripted_service import (
    Gateway,
    fail,
    failing,
    first,
    hello,
    last,
    more,
    start,
    stream_of,
)

STREAM = hello(stream=True)
Chunks = AsyncIterator[pb.ChatCompletionChunk]


async def test_a_whole_answer_is_json_with_the_route_in_its_headers(gateway: Gateway) -> None:
    response = await gateway.ask()

    body = response.json
    check("response", body)
    assert response.status == 200
    assert body["choices"][0]["message"] == {"role": "assistant", "content": "Hello"}
    assert {
        name.lower(): value
        for name, value in response.headers.items()
        if name.lower().startswith("x-llmbase-")
    } == {
        "x-llmbase-requested-model": "m",
        "x-llmbase-served-model": "m",
        "x-llmbase-fallback-applied": "false",
        "x-llmbase-provider": "acme",
        "x-llmbase-attempts": "1",
    }


async def test_a_stream_is_events_with_the_route_in_its_headers(gateway: Gateway) -> None:
    response = await gateway.ask(STREAM)

    found = response.events
    for event in found[:-1]:
        check("chunk", event)
    assert response.status == 200
    assert response.headers["Content-Type"] == "text/event-stream; charset=utf-8"
    assert response.headers["Cache-Control"] == "no-cache"
    assert response.headers["X-Accel-Buffering"] == "no"
    assert response.headers["x-llmbase-provider"] == "acme"
    assert "Content-Encoding" not in response.headers
    assert [event["choices"][0]["delta"] for event in found[:-1]] == [
        {"role": "assistant"},
        {"content": "Hel"},
        {"content": "lo"},
        {},
    ]
    assert found[-1] == "[DONE]"


async def test_usage_has_its_own_event_on_request(gateway: Gateway) -> None:
    response = await gateway.ask(hello(stream=True, stream_options={"include_usage": True}))

    *_, finish, usage, _ = response.events
    assert (finish["usage"], usage["choices"]) == (None, [])


@pytest.mark.parametrize("streamed", [False, True])
async def test_an_error_before_the_first_byte_is_an_http_error(
    streamed: bool, gateway: Gateway
) -> None:
    error = failing("ALL_PROVIDERS_FAILED", retry_after=7)
    gateway.service.whole = error
    gateway.service.stream = stream_of(lambda context: error(None, context))

    response = await gateway.ask(hello(stream=streamed))

    assert response.status == 502
    assert response.headers["Retry-After"] == "7"
    assert response.headers["x-llmbase-requested-model"] == "m"
    assert response.headers["x-request-id"] == gateway.service.calls[-1].metadata["x-request-id"]
    assert response.error == {
        "message": "It was ALL_PROVIDERS_FAILED.",
        "type": "upstream_error",
        "code": "all_providers_failed",
        "param": None,
    }


async def test_a_missing_key_is_a_401(gateway: Gateway) -> None:
    gateway.service.whole = failing("MISSING_API_KEY", code=grpc.StatusCode.UNAUTHENTICATED)

    response = await gateway.ask()

    assert response.status == 401
    error = response.error
    assert (error["type"], error["code"]) == ("invalid_request_error", "missing_api_key")


async def test_a_broken_rule_names_its_field(gateway: Gateway) -> None:
    gateway.service.whole = failing(
        "INVALID_REQUEST", code=grpc.StatusCode.INVALID_ARGUMENT, field_path="messages[0].role"
    )

    response = await gateway.ask()

    assert response.status == 400
    assert response.error["param"] == "messages[0].role"


async def test_an_error_after_the_first_byte_is_an_event_and_no_done(gateway: Gateway) -> None:
    async def cut(context: Any) -> None:
        await fail(context, "UPSTREAM_TRUNCATED")

    gateway.service.stream = stream_of(first(), cut)

    response = await gateway.ask(STREAM)

    *_, said, error = response.events
    check("error", error)
    assert response.status == 200
    assert said["choices"][0]["delta"] == {"content": "Hel"}
    assert error["error"]["code"] == "upstream_truncated"


async def test_a_stream_that_just_ends_is_an_error_too(gateway: Gateway) -> None:
    gateway.service.stream = stream_of(first(), more())

    *_, error = (await gateway.ask(STREAM)).events

    assert error["error"]["code"] == "upstream_truncated"


async def test_a_stream_of_nothing_is_an_http_error(gateway: Gateway) -> None:
    gateway.service.stream = stream_of()

    response = await gateway.ask(STREAM)

    assert response.status == 502
    assert response.error["code"] == "upstream_truncated"


async def test_an_error_after_the_last_chunk_changes_nothing(gateway: Gateway) -> None:
    async def too_late(context: Any) -> None:
        await fail(context, "INTERNAL_ERROR")

    gateway.service.stream = stream_of(first(), last(), too_late)

    assert (await gateway.ask(STREAM)).events[-1] == "[DONE]"


async def test_a_service_that_is_not_there_is_a_503(gateway: Gateway) -> None:
    async with grpc.aio.insecure_channel("unix:/nonexistent/socket") as channel:
        other = await start(channel, gateway.service, Settings())
        response = await other.ask()
        await other.client.close()
        await other.door.stop(0)

    assert response.status == 503
    assert int(response.headers["Retry-After"]) >= 1
    error = response.error
    assert error["code"] == "service_unavailable"
    assert "nonexistent" not in error["message"]


async def test_a_fault_of_our_own_is_a_500_that_says_nothing(
    gateway: Gateway, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def broken(answer: pb.ChatCompletion) -> bytes:
        raise RuntimeError("the answer was: secret")

    monkeypatch.setattr("gateway.chat_completions.completion_to_json", broken)

    response = await gateway.ask()

    assert response.status == 500
    assert response.error["code"] == "internal_error"
    (fault,) = (record for record in caplog.records if record.getMessage() == "fault")
    assert vars(fault)["fault"] == "RuntimeError"
    assert any("test_chat_completions.py" in place for place in vars(fault)["at"])
    for told in (response.body.decode(), caplog.text, str(vars(fault))):
        assert "secret" not in told


async def test_a_fault_of_our_own_after_the_first_byte_is_an_event(
    gateway: Gateway, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    render = StreamRenderer.render

    def broken(self: StreamRenderer, chunk: pb.ChatCompletionChunk) -> bytes:
        if chunk.last:
            raise RuntimeError("the answer was: secret")
        return render(self, chunk)

    monkeypatch.setattr(StreamRenderer, "render", broken)

    reply = await gateway.ask(STREAM)

    assert reply.events[-1]["error"]["code"] == "internal_error"
    assert [vars(r)["fault"] for r in caplog.records if r.getMessage() == "fault"] == [
        "RuntimeError"
    ]
    assert "secret" not in reply.body.decode() + caplog.text
