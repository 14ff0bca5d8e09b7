"""What callers are told of their limits: on whole answers, on streams and on errors."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any

import grpc
import pytest
from llmbase.v1 import chat_completion_pb2 as pb

from gateway.limit_headers import limit_headers
from tests.unit.gateway.conftest import Open
from tests.unit.gateway.scripted_service import completion, fail, failing, first, hello, last

LEFT = {
    "x-ratelimit-limit-requests": "60",
    "x-ratelimit-remaining-requests": "59",
    "x-ratelimit-reset-requests": "1s",
    "x-ratelimit-limit-tokens": "1000",
    "x-ratelimit-remaining-tokens": "900",
    "x-ratelimit-reset-tokens": "6s",
}
SECRETS = (("x-ratelimit-limit-users", "3"), ("x-internal", "yes"), ("set-cookie", "a=b"))
METADATA = (*LEFT.items(), *SECRETS)


def told(headers: Any) -> dict[str, str]:
    return {name.lower(): value for name, value in headers.items() if "ratelimit" in name.lower()}


def check(headers: Any) -> None:
    assert told(headers) == LEFT
    assert "x-internal" not in headers
    assert "set-cookie" not in headers


async def test_a_whole_answer_says_what_is_left(open_gateway: Open) -> None:
    gateway = await open_gateway()

    async def whole(request: Any, context: Any) -> pb.ChatCompletion:
        await context.send_initial_metadata(METADATA)
        return completion()

    gateway.service.whole = whole
    reply = await gateway.ask()
    assert reply.status == 200
    check(reply.headers)
    assert reply.headers["x-llmbase-provider"] == "acme"


async def test_a_stream_says_what_is_left(open_gateway: Open) -> None:
    gateway = await open_gateway()

    async def stream(request: Any, context: Any) -> AsyncIterator[pb.ChatCompletionChunk]:
        await context.send_initial_metadata(METADATA)
        yield first()
        yield last()

    gateway.service.stream = stream
    reply = await gateway.ask(hello(stream=True))
    assert reply.events[-1] == "[DONE]"
    check(reply.headers)
    assert reply.headers["x-llmbase-provider"] == "acme"


@pytest.mark.parametrize("streamed", [False, True])
@pytest.mark.parametrize(
    ("reason", "code"),
    [
        ("RATE_LIMIT_EXCEEDED", "rate_limit_exceeded"),
        ("TOO_MANY_CONCURRENT_REQUESTS", "too_many_concurrent_requests"),
    ],
)
async def test_a_refusal_says_what_is_left_and_when_to_come_back(
    open_gateway: Open, streamed: bool, reason: str, code: str
) -> None:
    gateway = await open_gateway()
    exhausted = grpc.StatusCode.RESOURCE_EXHAUSTED
    options: dict[str, Any] = {"code": exhausted, "retry_after": 7, "trailing": METADATA}

    async def stream(request: Any, context: Any) -> AsyncIterator[pb.ChatCompletionChunk]:
        await fail(context, reason, **options)
        yield last()

    gateway.service.whole, gateway.service.stream = failing(reason, **options), stream
    reply = await gateway.ask(hello(stream=streamed))
    assert reply.status == 429
    assert reply.error["type"] == "rate_limit_error"
    assert reply.error["code"] == code
    assert reply.headers["Retry-After"] == "7"
    check(reply.headers)


async def test_a_refusal_without_a_time_asks_for_a_second(open_gateway: Open) -> None:
    gateway = await open_gateway()
    gateway.service.whole = failing("RATE_LIMIT_EXCEEDED")
    reply = await gateway.ask()
    assert reply.headers["Retry-After"] == "1"
    assert told(reply.headers) == {}


async def test_who_has_no_limits_is_told_of_none(open_gateway: Open) -> None:
    gateway = await open_gateway()
    for body in (hello(), hello(stream=True)):
        assert told((await gateway.ask(body)).headers) == {}


@pytest.mark.parametrize("value", [b"1", "1\r\nX-Evil: 1", "ü", "9" * 65])
def test_what_a_header_cannot_hold_does_not_pass(value: Any) -> None:
    assert limit_headers([("x-ratelimit-limit-requests", value)]) == {}


def test_of_two_values_the_last_passes_that_a_header_can_hold() -> None:
    name = "x-ratelimit-limit-requests"
    assert limit_headers([(name, "1"), (name, "2"), (name, "9" * 65)]) == {name: "2"}


def test_values_that_are_long_together_pass_one_by_one() -> None:
    long = dict.fromkeys(LEFT, "9" * 64)
    assert limit_headers(long.items()) == long
