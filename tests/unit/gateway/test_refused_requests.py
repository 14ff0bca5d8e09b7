"""What no message can hold is refused, with the path of the field and what is allowed there."""

from __future__ import annotations

from typing import Any

import pytest
from llmbase.v1 import chat_completion_pb2 as pb

from gateway.transcoding.fields import BadField
from gateway.transcoding.request import request_from_json
from tests.support.shared import require_shared, shared_names
from tests.unit.gateway.requests import USER, ask, read, refusal, say

CALL = {"id": "c", "type": "function", "function": {"name": "f", "arguments": "{}"}}
TOOL = {"type": "function", "function": {"name": "f"}}


@pytest.mark.parametrize(
    ("body", "param"),
    [
        (ask(model=5), "model"),
        (ask(model=["m"]), "model"),
        (ask(messages={}), "messages"),
        (ask(messages="Hi"), "messages"),
        (ask(messages=[USER, "Hi"]), "messages[1]"),
        (ask(messages=[USER, None]), "messages[1]"),
        (say(role="function"), "messages[0].role"),
        (say(role=["user"]), "messages[0].role"),
        (say(role=1), "messages[0].role"),
        (say(content=1), "messages[0].content"),
        (say(content=[]), "messages[0].content"),
        (say(content={"type": "text", "text": "x"}), "messages[0].content"),
        (say(content=["x"]), "messages[0].content[0]"),
        (say(content=[{"text": "x"}]), "messages[0].content[0].type"),
        (say(content=[{"type": "text"}]), "messages[0].content[0].text"),
        (say(content=[{"type": "text", "text": 1}]), "messages[0].content[0].text"),
        (say(content=[{"type": "input_audio"}]), "messages[0].content[0].type"),
        (say(content=[{"type": "file", "file": {}}]), "messages[0].content[0].type"),
        (say(content=[{"type": ["text"]}]), "messages[0].content[0].type"),
        (say(content=[{"type": "image_url"}]), "messages[0].content[0].image_url"),
        (
            say(content=[{"type": "image_url", "image_url": "https://x/y"}]),
            "messages[0].content[0].image_url",
        ),
        (
            say(content=[USER | {"type": "text", "text": "x"}, {"type": "image_url"}]),
            "messages[0].content[1].image_url",
        ),
        (
            say(content=[{"type": "image_url", "image_url": {"url": 1}}]),
            "messages[0].content[0].image_url.url",
        ),
        (say(name=1), "messages[0].name"),
        (say(tool_calls={}), "messages[0].tool_calls"),
        (say(tool_calls=[{}]), "messages[0].tool_calls[0].type"),
        (say(tool_calls=[{"type": "function"}]), "messages[0].tool_calls[0].function"),
        (say(tool_calls=[CALL | {"type": "custom"}]), "messages[0].tool_calls[0].type"),
        (say(tool_calls=[CALL | {"id": 1}]), "messages[0].tool_calls[0].id"),
        (
            say(tool_calls=[CALL | {"function": {"name": "f", "arguments": {}}}]),
            "messages[0].tool_calls[0].function.arguments",
        ),
        (say(tool_calls=[CALL | {"provider_state": "?"}]), "messages[0].tool_calls[0]"),
        (say(provider_state="AAA"), "messages[0].provider_state"),
        (say(provider_state="\u00e9"), "messages[0].provider_state"),
        (say(provider_state=1), "messages[0].provider_state"),
        (say(function_call={"name": "f"}), "messages[0].function_call"),
        (say(audio={"id": "a"}), "messages[0].audio"),
        (ask(temperature="1"), "temperature"),
        (ask(temperature=True), "temperature"),
        (ask(max_tokens=True), "max_tokens"),
        (ask(max_tokens=1.5), "max_tokens"),
        (ask(max_tokens=2**31), "max_tokens"),
        (ask(max_tokens=-(2**31) - 1), "max_tokens"),
        (ask(max_completion_tokens="1"), "max_completion_tokens"),
        (ask(max_tokens="1", max_completion_tokens=1), "max_tokens"),
        (ask(seed=2**63), "seed"),
        (ask(seed=10**30), "seed"),
        (ask(seed=0.5), "seed"),
        (ask(n="2"), "n"),
        (ask(stop=1), "stop"),
        (ask(stop=["a", 1]), "stop"),
        (ask(logprobs=1), "logprobs"),
        (ask(stream="true"), "stream"),
        (ask(stream=1), "stream"),
        (ask(stream=True, stream_options=True), "stream_options"),
        (ask(stream=True, stream_options={"include_usage": 1}), "stream_options.include_usage"),
        (ask(stream_options={"include_usage": True}), "stream_options"),
        (ask(logit_bias=[1]), "logit_bias"),
        (ask(logit_bias={"5": "1"}), "logit_bias.5"),
        (ask(logit_bias={"5": True}), "logit_bias.5"),
        (ask(metadata={"a": 1}), "metadata.a"),
        (ask(metadata="a"), "metadata"),
        (ask(tools={}), "tools"),
        (ask(tools=[TOOL, 1]), "tools[1]"),
        (ask(tools=[{"function": {"name": "f"}}]), "tools[0].type"),
        (ask(tools=[{"type": "function"}]), "tools[0].function"),
        (ask(tools=[{"type": "custom", "custom": {}}]), "tools[0].type"),
        (ask(tools=[{"type": "function", "function": []}]), "tools[0].function"),
        (ask(tools=[{"type": "function", "function": {"name": 1}}]), "tools[0].function.name"),
        (
            ask(tools=[{"type": "function", "function": {"parameters": "{}"}}]),
            "tools[0].function.parameters",
        ),
        (
            ask(tools=[{"type": "function", "function": {"strict": "yes"}}]),
            "tools[0].function.strict",
        ),
        (ask(tool_choice="any"), "tool_choice"),
        (ask(tool_choice=1), "tool_choice"),
        (ask(tool_choice={"type": "allowed_tools", "allowed_tools": {}}), "tool_choice.type"),
        (ask(tool_choice={"type": "custom", "custom": {"name": "x"}}), "tool_choice.type"),
        (ask(tool_choice={"type": "function"}), "tool_choice.function"),
        (ask(tool_choice={"type": "function", "function": {}}), "tool_choice.function.name"),
        (ask(response_format="json"), "response_format"),
        (ask(response_format={"type": "xml"}), "response_format.type"),
        (ask(response_format={"type": "json_schema"}), "response_format.json_schema"),
        (
            ask(response_format={"type": "json_schema", "json_schema": {"schema": []}}),
            "response_format.json_schema.schema",
        ),
        (ask(reasoning_effort="much"), "reasoning_effort"),
        (ask(reasoning_effort=1), "reasoning_effort"),
        (ask(chat_template_kwargs={"thinking": "yes"}), "chat_template_kwargs.thinking"),
        (
            ask(**{"extra_body.chat_template_kwargs": {"thinking": 1}}),
            "extra_body.chat_template_kwargs.thinking",
        ),
        (ask(extra_body=[]), "extra_body"),
        (ask(modalities=["text", "audio"]), "modalities"),
        (ask(functions=[]), "functions"),
        (ask(function_call="auto"), "function_call"),
        (ask(web_search_options={}), "web_search_options"),
        (ask(moderation={"model": "x"}), "moderation"),
        (ask(audio={"voice": "x"}), "audio"),
    ],
)
def test_what_no_message_can_hold_is_refused_by_its_path(body: Any, param: str) -> None:
    refused = refusal(body)

    assert refused.param.startswith(param)
    assert str(refused).startswith(f"{refused.param}: ")
    assert len(refused.message) > len("is not")


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b" ",
        b"{",
        b"[]",
        b'"x"',
        b"null",
        b"{}{}",
        b'{"model": NaN}',
        b'{"temperature": Infinity}',
        b'{"temperature": 1e400}',
        rb'{"model": "\ud800"}',
        rb'{"\udfff": 1}',
        b'{"model": "\xed\xa0\x80"}',
        b'{"model": "\xff"}',
        b"\xef\xbb\xbf{}",
        b'{"model": "a\x00"}',
        b"\x1f\x8b\x08\x00",
    ],
)
def test_what_is_no_json_object_is_refused_as_a_whole(body: bytes) -> None:
    refused = refusal(body)

    assert refused.param == ""
    assert refused.message.startswith("The body must be")


def nest(levels: int) -> Any:
    value: Any = 1
    for _ in range(levels):
        value = {"a": value} if levels % 2 else [value]
    return value


@pytest.mark.parametrize(
    ("place", "above"),
    [
        (lambda value: ask(unknown=value), 1),
        (lambda value: say(unknown=value), 3),
        (lambda value: say(content=[{"type": "text", "text": "", "unknown": value}]), 5),
        (lambda value: ask(verbosity=value), 1),
        (
            lambda value: ask(
                tools=[{"type": "function", "function": {"parameters": {"a": value}}}]
            ),
            5,
        ),
        (
            lambda value: ask(
                response_format={"type": "json_schema", "json_schema": {"schema": {"a": value}}}
            ),
            4,
        ),
    ],
    ids=["top level", "message", "part", "ignored", "tool schema", "answer schema"],
)
def test_sixty_four_levels_are_taken_and_one_more_is_not(place: Any, above: int) -> None:
    read(place(nest(64 - above)))

    assert "nest" in refusal(place(nest(65 - above))).message
    assert "nest" in refusal(place(nest(900 - above))).message


@pytest.mark.parametrize("opening", [b"[", b'{"a":'])
def test_a_hundred_thousand_levels_are_refused(opening: bytes) -> None:
    assert refusal(opening * 100_000).param == ""


def test_a_refusal_never_repeats_a_long_key() -> None:
    assert len(refusal(ask(metadata={"k" * 100_000: 1})).param) < 100


@pytest.mark.parametrize("name", shared_names("nasty", "jsontestsuite", pattern="*.json"))
def test_no_file_of_the_json_test_suite_is_a_request_with_a_model(name: str) -> None:
    body = require_shared("nasty", "jsontestsuite", name).read_bytes()
    try:
        request, _, _ = request_from_json(body)
    except BadField:
        return
    assert not name.startswith("n_")
    assert request == pb.ChatCompletionRequest()
