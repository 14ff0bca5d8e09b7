"""Headers both ways, the caller's deadline, and the line in the log."""

from __future__ import annotations

import asyncio
from typing import Any

import grpc
import pytest
from llmbase.v1 import chat_completion_pb2 as pb

from tests.unit.gateway.conftest import Lines
from tests.unit.gateway.scripted_service import (
    Gateway,
    completion,
    failing,
    first,
    hello,
    last,
    stream_of,
)

STREAM = hello(stream=True)


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
    for line, outcome in ((refused, "model_not_found"), (answered, "OK")):
        assert (line["method"], line["route"]) == ("POST", "/v1/chat/completions")
        assert line["outcome"] == outcome
        assert line["ms"] >= 0
        assert "secret" not in str(line)
    assert answered["request_id"] == "id-2"
