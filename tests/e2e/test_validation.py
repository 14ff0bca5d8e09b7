"""A request that cannot be right is refused by the field's path, and reaches no provider."""

from __future__ import annotations

import json
from typing import Any

import pytest

from tests.conftest import Door
from tests.support.asking import hello
from tests.support.openai_wire import echoes, says
from tests.support.rest_door import RestDoor
from tests.support.rest_form import Reply
from tests.support.scripted_upstream import ScriptedUpstream

USER = {"role": "user", "content": "x"}
CALL = {"id": "c1", "type": "function", "function": {"name": "weather", "arguments": "{}"}}


def _tool(**function: Any) -> dict[str, Any]:
    return {"type": "function", "function": {"name": "weather"} | function}


def _image(url: Any, **more: Any) -> dict[str, Any]:
    return {"type": "image_url", "image_url": {"url": url} | more}


# What both doors can be asked: the rules beyond types. Fields, and the path of the one at fault.
BROKEN_RULES: list[tuple[dict[str, Any], str]] = [
    ({"model": ""}, "model"),
    ({"messages": []}, "messages"),
    ({"temperature": 2.1}, "temperature"),
    ({"temperature": -1}, "temperature"),
    ({"top_p": 1.5}, "top_p"),
    ({"max_tokens": 0}, "max_tokens"),
    ({"frequency_penalty": 3}, "frequency_penalty"),
    ({"presence_penalty": -3}, "presence_penalty"),
    ({"n": 0}, "n"),
    ({"n": 9}, "n"),
    ({"stop": ["a", "b", "c", "d", "e"]}, "stop"),
    ({"logprobs": True, "top_logprobs": 21}, "top_logprobs"),
    ({"top_logprobs": 2}, "top_logprobs"),
    ({"messages": [USER, {"role": "tool", "content": "x"}]}, "messages[1].tool_call_id"),
    ({"messages": [{"role": "assistant", "tool_calls": [CALL, CALL]}]},
     "messages[0].tool_calls[1].id"),
    ({"messages": [{"role": "user", "content": [_image("ftp://example.com/x")]}]},
     "messages[0].content[0].image_url.url"),
    ({"messages": [USER, {"role": "user", "content": [
        {"type": "text", "text": "x"}, _image("https://example.com/x", detail="huge")]}]},
     "messages[1].content[1].image_url.detail"),
    ({"messages": [{"role": "system", "content": [_image("https://example.com/x")]}]},
     "messages[0].content[0].type"),
    ({"tools": [_tool(name="a b")]}, "tools[0].function.name"),
    ({"tools": [_tool(), _tool()]}, "tools[1].function.name"),
    ({"tools": [_tool()], "tool_choice": {"type": "function", "function": {"name": "other"}}},
     "tool_choice.function.name"),
    ({"logit_bias": {"x": 1}}, "logit_bias.x"),
    ({"logit_bias": {"5": 200}}, "logit_bias.5"),
]  # fmt: skip

# What only JSON can say: wrong types and shapes.
WRONG_TYPES: list[tuple[dict[str, Any], str]] = [
    ({"model": 5}, "model"),
    ({"model": None}, "model"),
    ({"model": ["test/one"]}, "model"),
    ({"messages": None}, "messages"),
    ({"messages": "Hello"}, "messages"),
    ({"messages": {"role": "user"}}, "messages"),
    ({"messages": ["Hello"]}, "messages[0]"),
    ({"messages": [USER, {"content": "x"}]}, "messages[1].role"),
    ({"messages": [{"role": "wizard", "content": "x"}]}, "messages[0].role"),
    ({"messages": [{"role": 1, "content": "x"}]}, "messages[0].role"),
    ({"messages": [{"role": "user", "content": 5}]}, "messages[0].content"),
    ({"messages": [{"role": "user", "content": ["x"]}]}, "messages[0].content[0]"),
    ({"messages": [{"role": "user", "content": [{"type": "video"}]}]},
     "messages[0].content[0].type"),
    ({"messages": [{"role": "user", "content": [{"text": "x"}]}]}, "messages[0].content[0].type"),
    ({"messages": [{"role": "user", "content": [{"type": "text", "text": 5}]}]},
     "messages[0].content[0].text"),
    ({"messages": [{"role": "user", "content": [_image(5)]}]},
     "messages[0].content[0].image_url.url"),
    ({"messages": [{"role": "user", "content": [{"type": "image_url", "image_url": "x"}]}]},
     "messages[0].content[0].image_url"),
    ({"messages": [{"role": "assistant", "tool_calls": {}}]}, "messages[0].tool_calls"),
    ({"messages": [{"role": "assistant", "tool_calls": [
        CALL | {"function": {"name": "x", "arguments": {}}}]}]},
     "messages[0].tool_calls[0].function.arguments"),
    ({"temperature": "0.5"}, "temperature"),
    ({"temperature": True}, "temperature"),
    ({"top_p": []}, "top_p"),
    ({"max_tokens": 1.5}, "max_tokens"),
    ({"max_tokens": "10"}, "max_tokens"),
    ({"max_tokens": 2**40}, "max_tokens"),
    ({"stream": "true"}, "stream"),
    ({"stream": 1}, "stream"),
    ({"stop": 5}, "stop"),
    ({"stop": [5]}, "stop"),
    ({"seed": 1.5}, "seed"),
    ({"seed": 2**64}, "seed"),
    ({"n": "2"}, "n"),
    ({"logprobs": 1}, "logprobs"),
    ({"logit_bias": []}, "logit_bias"),
    ({"logit_bias": {"5": 0.5}}, "logit_bias.5"),
    ({"metadata": {"k": 5}}, "metadata.k"),
    ({"user": 5}, "user"),
    ({"tools": {}}, "tools"),
    ({"tools": [{}]}, "tools[0].type"),
    ({"tools": [{"type": "search", "function": {"name": "x"}}]}, "tools[0].type"),
    ({"tools": [{"type": "function"}]}, "tools[0].function"),
    ({"tools": [_tool(name=5)]}, "tools[0].function.name"),
    ({"tools": [_tool(parameters=[])]}, "tools[0].function.parameters"),
    ({"tools": [_tool(strict="yes")]}, "tools[0].function.strict"),
    ({"tools": [_tool()], "tool_choice": "maybe"}, "tool_choice"),
    ({"tools": [_tool()], "tool_choice": {"type": "function"}}, "tool_choice.function"),
    ({"parallel_tool_calls": "no"}, "parallel_tool_calls"),
    ({"response_format": "json"}, "response_format"),
    ({"response_format": {"type": "xml"}}, "response_format.type"),
    ({"response_format": {"type": "json_schema"}}, "response_format.json_schema"),
    ({"response_format": {"type": "json_schema", "json_schema": {"name": "x", "schema": 5}}},
     "response_format.json_schema.schema"),
    ({"reasoning_effort": "extreme"}, "reasoning_effort"),
    ({"chat_template_kwargs": {"thinking": "yes"}}, "chat_template_kwargs.thinking"),
]  # fmt: skip


@pytest.mark.parametrize(("fields", "param"), BROKEN_RULES)
async def test_a_broken_rule_is_named_by_its_path(
    fields: dict[str, Any],
    param: str,
    door: Door,
    streamed: bool,
    upstream: ScriptedUpstream,
) -> None:
    answer = await door.ask(hello(stream=streamed) | fields)

    assert answer.failure is not None
    assert (answer.failure.status, answer.failure.type) == (400, "invalid_request_error")
    assert answer.failure.param == param
    assert not upstream.requests


@pytest.mark.parametrize(("fields", "param"), WRONG_TYPES)
async def test_a_wrong_type_is_named_by_its_path(
    fields: dict[str, Any], param: str, any_rest_door: RestDoor, upstream: ScriptedUpstream
) -> None:
    reply = await any_rest_door.send(json.dumps(hello() | fields).encode())

    _check_refusal(reply, upstream)
    assert reply.failure.param == param


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"{",
        b"[]",
        b"null",
        b'"Hello"',
        b"not json",
        b'{"model":"test/one","messages":[{"role":"user","content":"x"}]',
        b'{"model":"test/one","messages":[{"role":"user","content":"x"}]}}',
        b'{"model":"test/one","temperature":NaN,"messages":[{"role":"user","content":"x"}]}',
        b'{"model":"test/one","temperature":Infinity,"messages":[{"role":"user","content":"x"}]}',
        b'{"model":"test/one","temperature":1e400,"messages":[{"role":"user","content":"x"}]}',
        b'{"model":"test/one","messages":[{"role":"user","content":"\\ud800"}]}',
        b'{"model":"test/one","messages":[{"role":"user","content":"\\udc00\\ud800"}]}',
        b'{"model":"test/one","messages":[{"role":"user","content":"\xff"}]}',
        b'{"model":"test/one","messages":[{"role":"user","content":"\xed\xa0\x80"}]}',
        b'{"model":"test/one","messages":[{"role":"user","content":"a\nb"}]}',
        b'{"model":"test/one","messages":[{"role":"user","content":"x"}],}',
        b"{'model':'test/one'}",
        b"\xff\xfe{\x00}\x00",
    ],
)
async def test_a_body_that_is_not_the_json_of_a_request_is_refused(
    body: bytes, any_rest_door: RestDoor, upstream: ScriptedUpstream
) -> None:
    _check_refusal(await any_rest_door.send(body), upstream)


@pytest.mark.parametrize("content_type", ["text/plain", "application/xml", "multipart/form-data"])
async def test_a_wrong_content_type_is_refused(
    content_type: str, any_rest_door: RestDoor, upstream: ScriptedUpstream
) -> None:
    body = json.dumps(hello()).encode()

    _check_refusal(await any_rest_door.send(body, {"Content-Type": content_type}), upstream)


@pytest.mark.parametrize("depth", [65, 1000, 100_000])
@pytest.mark.parametrize("place", ["metadata_of_no_kind", "tools"])
async def test_what_nests_too_deep_is_refused(
    depth: int, place: str, any_rest_door: RestDoor, upstream: ScriptedUpstream
) -> None:
    nested = "[" * depth + "]" * depth
    extra = f'"{place}":{nested}'
    if place == "tools":
        schema = f'{{"type":"object","x":{nested}}}'
        extra = f'"tools":[{{"type":"function","function":{{"name":"f","parameters":{schema}}}}}]'
    start = json.dumps(hello())[:-1]

    _check_refusal(await any_rest_door.send(f"{start},{extra}}}".encode()), upstream)


async def test_of_a_key_that_comes_twice_the_last_one_counts(
    any_rest_door: RestDoor, upstream: ScriptedUpstream
) -> None:
    upstream.otherwise(echoes)
    body = b'{"model":"no/model","model":"test/one","messages":[],"messages":[{"role":"user",'

    reply = await any_rest_door.send(body + b'"content":"first","content":"last"}]}')

    assert reply.status == 200
    assert reply.json["choices"][0]["message"]["content"] == "last"


async def test_a_field_that_is_not_known_is_left_out_and_named(
    any_rest_door: RestDoor, streamed: bool, upstream: ScriptedUpstream
) -> None:
    upstream.on("one", says("Hello"))
    body = json.dumps(hello(stream=streamed, top_k=5, my_own_field={"a": 1})).encode()

    reply = await any_rest_door.send(body)

    assert reply.status == 200
    named = reply.headers["x-llmbase-ignored-parameters"].replace(" ", "").split(",")
    assert set(named) == {"top_k", "my_own_field"}
    assert not {"top_k", "my_own_field"} & set(upstream.requests[0].json)


async def test_zero_is_not_absent(door: Door, streamed: bool, upstream: ScriptedUpstream) -> None:
    upstream.on("one", says("Hello"))
    zeros: dict[str, Any] = {"temperature": 0, "top_p": 0, "seed": 0, "frequency_penalty": 0}

    await door.ask(hello(stream=streamed, **zeros))
    await door.ask(hello(stream=streamed))

    given, absent = (request.json for request in upstream.requests)
    assert {name: given[name] for name in zeros} == zeros
    assert not set(zeros) & set(absent)


def _check_refusal(reply: Reply, upstream: ScriptedUpstream) -> None:
    assert (reply.failure.status, reply.failure.type) == (400, "invalid_request_error")
    assert not upstream.requests
