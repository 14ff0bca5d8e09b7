"""What a model does not advertise is refused before anything runs; what needs nothing is let in."""

from __future__ import annotations

from typing import Any

import pytest

from tests.conftest import Door
from tests.support.asking import hello
from tests.support.openai_wire import says
from tests.support.scripted_upstream import ScriptedUpstream

TOOL = {"type": "function", "function": {"name": "weather"}}
IMAGE = {"type": "image_url", "image_url": {"url": "https://example.com/i.jpg"}}
SCHEMA = {"type": "json_schema", "json_schema": {"name": "x", "schema": {"type": "object"}}}
JSON_OBJECT = {"type": "json_object"}
PICTURED = [{"role": "user", "content": [{"type": "text", "text": "?"}, IMAGE]}]


@pytest.mark.parametrize(
    ("model", "fields", "param"),
    [
        ("test/plain", {"tools": [TOOL]}, "tools"),
        ("test/plain", {"response_format": JSON_OBJECT}, "response_format"),
        ("test/plain", {"response_format": SCHEMA}, "response_format"),
        ("test/plain", {"logprobs": True}, "logprobs"),
        ("test/plain", {"logprobs": True, "top_logprobs": 2}, "logprobs"),
        ("test/plain", {"reasoning_effort": "low"}, "reasoning_effort"),
        ("test/plain", {"messages": PICTURED}, "messages[0].content[1]"),
        ("test/json", {"response_format": SCHEMA}, "response_format"),
    ],
)
async def test_what_is_not_advertised_is_refused(
    model: str,
    fields: dict[str, Any],
    param: str,
    door: Door,
    streamed: bool,
    upstream: ScriptedUpstream,
) -> None:
    answer = await door.ask(hello(model, stream=streamed, **fields))

    failure = answer.failure
    assert failure is not None
    assert (failure.status, failure.type, failure.code, failure.param) == (
        400,
        "invalid_request_error",
        "unsupported_capability",
        param,
    )
    assert model in failure.message
    assert not upstream.requests


@pytest.mark.parametrize(
    ("model", "fields"),
    [
        ("test/plain", {"tools": []}),
        ("test/plain", {"response_format": {"type": "text"}}),
        ("test/plain", {"logprobs": False}),
        ("test/plain", {"reasoning_effort": None}),
        ("test/json", {"response_format": JSON_OBJECT}),
        ("test/one", {"tools": [TOOL], "logprobs": True, "reasoning_effort": "low"}),
        ("test/one", {"messages": PICTURED, "response_format": SCHEMA}),
    ],
)
async def test_what_is_advertised_or_needs_nothing_is_let_in(
    model: str, fields: dict[str, Any], door: Door, streamed: bool, upstream: ScriptedUpstream
) -> None:
    upstream.otherwise(says("Hello"))

    answer = await door.ask(hello(model, stream=streamed, **fields))

    assert answer.text == "Hello"
