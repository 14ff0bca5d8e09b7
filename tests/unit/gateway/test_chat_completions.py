"""The handler: what goes to the service, what comes back, and as which HTTP answer."""

from __future__ import annotations

import asyncio
import gzip
import json
from collections.abc import AsyncIterator
from typing import Any

import grpc
import pytest
from llmbase.v1 import chat_completion_pb2 as pb

from gateway.app import Settings
from gateway.chunks import StreamRenderer
from tests.support.openai_schema import check
from tests.unit.gateway.conftest import Lines, Open
from tests.unit.gateway.scripted_service import (
    Gateway,
    completion,
    fail,
    first,
    hello,
    last,
    more,
    start,
)

STREAM = hello(stream=True)
Chunks = AsyncIterator[pb.ChatCompletionChunk]


def failing(reason: str, **options: Any) -> Any:
    async def whole(request: Any, context: Any) -> pb.ChatCompletion:
        await fail(context, reason, **options)
        raise AssertionError

    return whole


def stream_of(*chunks: Any) -> Any:
    """A script: chunks to send, coroutine functions to call with the context in between."""

    async def stream(request: Any, context: Any) -> Chunks:
        for chunk in chunks:
            if isinstance(chunk, pb.ChatCompletionChunk):
                yield chunk
            else:
                await chunk(context)

    return stream


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


async def test_a_fallback_is_told_in_the_headers(gateway: Gateway) -> None:
    route = pb.RouteFacts(
        requested_model="a/b",
        served_model="c/d",
        provider="other",
        attempts=3,
        fallback_applied=True,
        fallback_reason="model_unavailable",
        fallback_chain=["a/b", "c/d"],
    )

    async def whole(request: Any, context: Any) -> pb.ChatCompletion:
        return completion(route=route)

    gateway.service.whole = whole
    gateway.service.stream = stream_of(first(route=route), last())

    for body in (hello(), STREAM):
        headers = (await gateway.ask(body)).headers
        assert headers["x-llmbase-requested-model"] == "a/b"
        assert headers["x-llmbase-served-model"] == "c/d"
        assert headers["x-llmbase-attempts"] == "3"
        assert headers["x-llmbase-fallback-applied"] == "true"
        assert headers["x-llmbase-fallback-reason"] == "model_unavailable"
        assert headers["x-llmbase-fallback-chain"] == "a/b,c/d"


async def test_left_out_fields_are_named_by_the_door_and_by_the_service(gateway: Gateway) -> None:
    async def whole(request: Any, context: Any) -> pb.ChatCompletion:
        return completion(route=pb.RouteFacts(ignored_parameters=["seed", "b"]))

    gateway.service.whole = whole

    response = await gateway.ask(hello(b=1, **{"ü\r\nx: y": 1}))

    header = response.headers["x-llmbase-ignored-parameters"]
    assert header == "b,%C3%BC%0D%0Ax%3A%20y,seed"


async def test_ten_thousand_left_out_fields_make_a_header_of_bounded_size(
    gateway: Gateway,
) -> None:
    response = await gateway.ask(hello(**{f"field_{i}" * 8: i for i in range(10_000)}))

    header = response.headers["x-llmbase-ignored-parameters"]
    assert header.endswith(",...")
    assert len(header) < 4096


async def test_the_service_gets_the_request_and_the_metadata(gateway: Gateway) -> None:
    headers = {
        "Authorization": "Bearer key",
        "X-Request-Id": "my-id:1.2_3",
        "Traceparent": "00-" + "a" * 32 + "-" + "b" * 16 + "-01",
        "X-LLMBase-Fallback": "off",
        "X-Request-Timeout": "7.5",
        "Cookie": "secret",
    }

    for body in (hello(), STREAM):
        response = await gateway.ask(body, headers=headers)

        call = gateway.service.calls[-1]
        assert call.request.model == "m"
        ours = {key: value for key, value in call.metadata.items() if key != "user-agent"}
        assert ours == {
            "authorization": "Bearer key",
            "x-request-id": "my-id:1.2_3",
            "traceparent": headers["Traceparent"],
            "x-llmbase-fallback": "off",
        }
        assert call.seconds is not None and 5 < call.seconds < 8
        assert response.headers["x-request-id"] == "my-id:1.2_3"


async def test_without_headers_there_is_an_id_of_ours_and_no_deadline(gateway: Gateway) -> None:
    response = await gateway.ask()

    call = gateway.service.calls[-1]
    assert call.seconds is None
    assert set(call.metadata) == {"x-request-id", "user-agent"}
    assert call.metadata["x-request-id"] == response.headers["x-request-id"]
    assert len(response.headers["x-request-id"]) > 20


@pytest.mark.parametrize("given", ["a b", "x" * 129, "é", "a\tb", '"'])
async def test_an_odd_request_id_is_replaced(given: str, gateway: Gateway) -> None:
    response = await gateway.ask(headers={"X-Request-Id": given})

    assert response.headers["x-request-id"].startswith("req_")


@pytest.mark.parametrize("key", ["Bearer clé", "Bearer " + "x" * 6000])
async def test_a_key_that_metadata_cannot_carry_is_no_fault_of_the_service(
    key: str, gateway: Gateway
) -> None:
    response = await gateway.ask(headers={"Authorization": key})

    assert response.status == 200
    assert gateway.service.calls[-1].metadata["authorization"] != key


@pytest.mark.parametrize("given", ["0", "-1", "soon", "1e3", "NaN", "", "10000000", "0.0"])
async def test_a_time_that_is_none_is_refused(given: str, gateway: Gateway) -> None:
    response = await gateway.ask(headers={"X-Request-Timeout": given})

    assert response.status == 400
    assert response.error["param"] == "X-Request-Timeout"
    assert not gateway.service.calls


@pytest.mark.parametrize("streamed", [False, True])
async def test_the_callers_deadline_is_a_504(streamed: bool, gateway: Gateway) -> None:
    async def forever(request: Any, context: Any) -> Any:
        await asyncio.Event().wait()

    gateway.service.whole = forever
    gateway.service.stream = stream_of(lambda context: forever(None, context))

    response = await gateway.ask(hello(stream=streamed), headers={"X-Request-Timeout": "0.05"})

    assert response.status == 504
    assert response.error["code"] == "deadline_exceeded"


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


@pytest.mark.parametrize(
    "kind", ["application/json", "application/json; charset=utf-8", "APPLICATION/JSON", None]
)
async def test_json_is_taken_whether_or_not_it_says_so(kind: str | None, gateway: Gateway) -> None:
    skip = {"skip_auto_headers": ["Content-Type"]} if kind is None else {}
    headers = {} if kind is None else {"Content-Type": kind}

    response = await gateway.request(
        "POST", "/v1/chat/completions", data=json.dumps(hello()).encode(), headers=headers, **skip
    )

    assert response.status == 200


@pytest.mark.parametrize(
    "kind", ["text/plain", "application/x-www-form-urlencoded", "application/jsonp", ""]
)
async def test_another_content_type_is_refused(kind: str, gateway: Gateway) -> None:
    response = await gateway.ask(headers={"Content-Type": kind})

    assert response.status == 400
    assert "application/json" in response.error["message"]
    assert not gateway.service.calls


@pytest.mark.parametrize("body", [b"", b"{", b"[]", b'{"model": "\xff"}', b"[" * 100_000])
async def test_a_body_that_is_no_request_reaches_nobody(body: bytes, gateway: Gateway) -> None:
    response = await gateway.ask(body)

    assert response.status == 400
    assert response.error["param"] is None
    assert not gateway.service.calls


async def test_a_wrong_type_names_its_field(gateway: Gateway) -> None:
    response = await gateway.ask({"messages": [{"role": "user", "content": [{"type": "x"}]}]})

    error = response.error
    assert response.status == 400
    assert error["param"] == "messages[0].content[0].type"
    assert error["message"].startswith("messages[0].content[0].type: must be one of text")


@pytest.mark.parametrize("chunked", [False, True])
async def test_a_body_over_the_limit_is_a_413(chunked: bool, open_gateway: Open) -> None:
    gateway = await open_gateway(max_body=1000)

    async def pieces() -> AsyncIterator[bytes]:
        for _ in range(20):
            yield b" " * 100

    response = await gateway.request(
        "POST",
        "/v1/chat/completions",
        data=pieces() if chunked else b" " * 2000,
        headers={"Content-Type": "application/json"},
    )

    assert response.status == 413
    error = response.error
    assert (error["type"], error["code"]) == ("invalid_request_error", "request_too_large")
    assert not gateway.service.calls


async def test_a_body_at_the_limit_is_taken(open_gateway: Open) -> None:
    body = json.dumps(hello()).encode()
    gateway = await open_gateway(max_body=len(body))

    assert (await gateway.ask(body)).status == 200
    assert (await gateway.ask(body + b" ")).status == 413


async def test_a_compressed_body_is_inflated_up_to_the_limit(open_gateway: Open) -> None:
    gateway = await open_gateway(max_body=100_000)
    packed = {"Content-Encoding": "gzip"}

    small = await gateway.ask(gzip.compress(json.dumps(hello()).encode()), headers=packed)
    bomb = await gateway.ask(gzip.compress(b" " * 50_000_000), headers=packed)
    broken = await gateway.ask(b"no gzip at all", headers=packed)
    unknown = await gateway.ask(b"{}", headers={"Content-Encoding": "rot13"})

    assert [r.status for r in (small, bomb, broken, unknown)] == [200, 413, 400, 400]
    assert [r.error["param"] for r in (bomb, broken, unknown)] == [None] * 3


async def test_a_body_that_does_not_come_is_a_408(open_gateway: Open) -> None:
    gateway = await open_gateway(body_timeout=0.05)
    reader, writer = await asyncio.open_connection(*gateway.door.address)
    writer.write(b"POST /v1/chat/completions HTTP/1.1\r\nHost: h\r\nContent-Length: 9\r\n\r\n{")

    async with asyncio.timeout(10):
        head = await reader.readuntil(b"\r\n\r\n")

    assert head.startswith(b"HTTP/1.1 408 ")
    writer.close()


@pytest.mark.parametrize("length", [2, 10**12])
async def test_expect_is_answered_before_a_body_that_would_fit(
    length: int, gateway: Gateway
) -> None:
    reader, writer = await asyncio.open_connection(*gateway.door.address)
    writer.write(
        b"POST /v1/chat/completions HTTP/1.1\r\nHost: h\r\nExpect: 100-continue\r\n"
        b"Content-Length: %d\r\n\r\n" % length
    )

    async with asyncio.timeout(10):
        head = await reader.readuntil(b"\r\n\r\n")
        if length == 2:
            writer.write(b"[]")
            head += await reader.readuntil(b"\r\n\r\n")

    expected = b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 400 " if length == 2 else b"HTTP/1.1 413 "
    assert head.startswith(expected)
    writer.close()


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


async def test_a_model_id_that_no_header_can_hold_is_no_fault(gateway: Gateway) -> None:
    async def whole(request: Any, context: Any) -> pb.ChatCompletion:
        return completion(route=pb.RouteFacts(requested_model=request.model, served_model="m"))

    gateway.service.whole = whole

    response = await gateway.ask(hello() | {"model": "ü\r\nX-Evil: 1\u2028"})

    assert response.status == 200
    assert "X-Evil" not in response.headers
    assert response.headers["x-llmbase-requested-model"] == "%C3%BC%0D%0AX-Evil:%201%E2%80%A8"


async def test_one_line_per_request_without_body_or_key(gateway: Gateway, lines: Lines) -> None:
    gateway.service.whole = failing("MODEL_NOT_FOUND", code=grpc.StatusCode.NOT_FOUND)

    await gateway.ask(hello(user="secret"), headers={"Authorization": "Bearer secret"})
    await gateway.ask(STREAM, headers={"X-Request-Id": "id-2"})

    refused, answered = await lines.expect(status=404), await lines.expect(status=200)
    for line, error in ((refused, "model_not_found"), (answered, None)):
        assert (line["method"], line["route"]) == ("POST", "/v1/chat/completions")
        assert line["error"] == error
        assert line["ms"] >= 0
        assert "secret" not in str(line)
    assert answered["request_id"] == "id-2"
