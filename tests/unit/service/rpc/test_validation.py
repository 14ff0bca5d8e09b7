"""What a request must be like: each rule by one request that keeps to it and one that does not."""

import tracemalloc

import pytest
from google.protobuf import json_format
from llmbase.v1 import chat_completion_pb2 as pb

from service.errors import InvalidRequest
from service.rpc.validation import check

USER = {"role": "ROLE_USER", "content": [{"text": "hi"}]}
CALL = {"id": "c1", "name": "f", "arguments": "{}"}


def _request(**fields):
    return json_format.ParseDict(
        {"model": "m", "messages": [USER], **fields}, pb.ChatCompletionRequest()
    )


def _message(**fields):
    return {"messages": [USER, fields]}


def _image(url, role="ROLE_USER", **more):
    return _message(role=role, content=[{"image_url": {"url": url, **more}}])


def _tool(name="f", **fields):
    return {"name": name, **fields}


ALLOWED = [
    {},
    {"temperature": 0},
    {"temperature": 2},
    {"top_p": 0},
    {"top_p": 1},
    {"max_tokens": 1},
    {"frequency_penalty": -2, "presence_penalty": 2},
    {"stop": ["a", "b", "c", "d"]},
    {"seed": str(-(2**63))},
    {"n": 8},
    {"logprobs": True, "top_logprobs": 20},
    {"logit_bias": {"50256": -100, "1": 100}},
    {"metadata": {"k" * 64: "v" * 512}},
    {"reasoning_effort": "REASONING_EFFORT_MAX"},
    {"tools": [_tool("a.b:c-d_9", parameters='{"type":"object"}')]},
    {"tools": [_tool()], "tool_choice": {"function": "f"}},
    {"tools": [_tool()], "tool_choice": {"mode": "MODE_REQUIRED"}},
    {"tool_choice": {"mode": "MODE_AUTO"}},
    {"response_format": {"json_object": {}}},
    {"response_format": {"json_schema": {"name": "x", "schema": "{}"}}},
    _message(role="ROLE_ASSISTANT", tool_calls=[CALL]),
    _message(role="ROLE_ASSISTANT", content=[{"text": ""}]),
    _message(role="ROLE_ASSISTANT", content=[{"refusal": "no"}]),
    _message(role="ROLE_ASSISTANT", refusal="no"),
    _message(role="ROLE_ASSISTANT", reasoning_content="hm"),
    _message(role="ROLE_TOOL", tool_call_id="c1", content=[{"text": "4"}]),
    _message(role="ROLE_SYSTEM", content=[{"text": "a"}, {"text": "b"}]),
    _message(role="ROLE_DEVELOPER", content=[{"text": "a"}]),
    _image("https://example.com/a.png", detail="low"),
    _image("HTTPS://example.com/a.png"),
    _image("data:image/png;base64,aGk="),
    _image("data:image/svg+xml;charset=utf-8;base64,aGk="),
]

REFUSED = [
    ({"model": ""}, "model"),
    ({"messages": []}, "messages"),
    ({"temperature": 2.1}, "temperature"),
    ({"temperature": -0.1}, "temperature"),
    ({"n": 9, "top_logprobs": 21, "temperature": 3}, "temperature"),  # the first of them
    ({"n": 9, "top_logprobs": 21, "presence_penalty": 3}, "presence_penalty"),
    ({"temperature": "NaN"}, "temperature"),
    ({"temperature": "Infinity"}, "temperature"),
    ({"top_p": 1.01}, "top_p"),
    ({"max_tokens": 0}, "max_tokens"),
    ({"frequency_penalty": -2.1}, "frequency_penalty"),
    ({"presence_penalty": 2.1}, "presence_penalty"),
    ({"stop": list("abcde")}, "stop"),
    ({"stop": ["a", ""]}, "stop[1]"),
    ({"n": 0}, "n"),
    ({"n": 9}, "n"),
    ({"logprobs": True, "top_logprobs": 21}, "top_logprobs"),
    ({"logprobs": True, "top_logprobs": -1}, "top_logprobs"),
    ({"top_logprobs": 2}, "top_logprobs"),
    ({"logit_bias": {"x": 1}}, "logit_bias.x"),
    ({"logit_bias": {"1": 101}}, "logit_bias.1"),
    ({"metadata": {str(i): "" for i in range(17)}}, "metadata"),
    ({"metadata": {"k" * 65: ""}}, "metadata"),
    ({"metadata": {"k": "v" * 513}}, "metadata.k"),
    ({"reasoning_effort": 99}, "reasoning_effort"),
    ({"tools": [_tool("")]}, "tools[0].function.name"),
    ({"tools": [_tool("a b")]}, "tools[0].function.name"),
    ({"tools": [_tool("a" * 65)]}, "tools[0].function.name"),
    ({"tools": [_tool(), _tool()]}, "tools[1].function.name"),
    ({"tools": [_tool(f"f{i}") for i in range(129)]}, "tools"),
    ({"tools": [_tool(parameters="[]")]}, "tools[0].function.parameters"),
    ({"tools": [_tool(parameters="{")]}, "tools[0].function.parameters"),
    ({"tools": [_tool()], "tool_choice": {"function": "g"}}, "tool_choice.function.name"),
    ({"tool_choice": {"mode": "MODE_REQUIRED"}}, "tool_choice"),
    ({"tool_choice": {"mode": "MODE_UNSPECIFIED"}}, "tool_choice"),
    ({"tool_choice": {}}, "tool_choice"),
    ({"response_format": {"json_schema": {"schema": "{}"}}}, "response_format.json_schema.name"),
    (
        {"response_format": {"json_schema": {"name": "x", "schema": "1"}}},
        "response_format.json_schema.schema",
    ),
    (_message(content=[{"text": "x"}]), "messages[1].role"),
    (_message(role=77, content=[{"text": "x"}]), "messages[1].role"),
    (_message(role="ROLE_USER"), "messages[1].content"),
    (_message(role="ROLE_USER", content=[{}]), "messages[1].content[0].type"),
    (_message(role="ROLE_USER", content=[{"refusal": "no"}]), "messages[1].content[0].type"),
    (_message(role="ROLE_ASSISTANT"), "messages[1].content"),
    (
        _message(role="ROLE_USER", content=[{"text": "x"}], tool_calls=[CALL]),
        "messages[1].tool_calls",
    ),
    (
        _message(role="ROLE_ASSISTANT", tool_calls=[CALL, CALL]),
        "messages[1].tool_calls[1].id",
    ),
    (
        _message(role="ROLE_ASSISTANT", tool_calls=[{"name": "f"}]),
        "messages[1].tool_calls[0].id",
    ),
    (
        _message(role="ROLE_ASSISTANT", tool_calls=[{"id": "c"}]),
        "messages[1].tool_calls[0].function.name",
    ),
    (_message(role="ROLE_TOOL", content=[{"text": "4"}]), "messages[1].tool_call_id"),
    (
        _message(role="ROLE_USER", content=[{"text": "4"}], tool_call_id="c"),
        "messages[1].tool_call_id",
    ),
    (_image("https://example.com/a.png", role="ROLE_SYSTEM"), "messages[1].content[0].type"),
    (_image("http://example.com/a.png"), "messages[1].content[0].image_url.url"),
    (_image("https://"), "messages[1].content[0].image_url.url"),
    (_image("https://a b"), "messages[1].content[0].image_url.url"),
    (_image("data:aGk="), "messages[1].content[0].image_url.url"),
    (_image("file:///etc/passwd"), "messages[1].content[0].image_url.url"),
    (_image(""), "messages[1].content[0].image_url.url"),
    (_image("https://e.com/a", detail="huge"), "messages[1].content[0].image_url.detail"),
]


@pytest.mark.parametrize("fields", ALLOWED, ids=str)
def test_what_keeps_to_the_rules_is_taken(fields):
    check(_request(**fields))


@pytest.mark.parametrize(("fields", "field"), REFUSED, ids=str)
def test_what_breaks_a_rule_is_refused_by_the_name_of_its_field(fields, field):
    with pytest.raises(InvalidRequest) as raised:
        check(_request(**fields))
    (violation,) = raised.value.violations
    assert violation.field == field
    assert violation.description


@pytest.mark.parametrize("length", [10, 100_000])
def test_a_schema_is_judged_the_same_each_time(length):
    text = "y" * length
    for _ in range(2):
        check(_request(tools=[_tool(parameters=f'{{"x":"{text}"}}')]))
        with pytest.raises(InvalidRequest, match="must be an object"):
            check(_request(tools=[_tool(parameters=f'["{text}"]')]))


def test_no_long_schema_is_kept():
    tracemalloc.start()
    try:
        for i in range(50):
            schema = f'{{"x":"{i}{"y" * 100_000}"}}'
            check(_request(tools=[_tool(parameters=schema)]))
        assert tracemalloc.get_traced_memory()[0] < 2_000_000
    finally:
        tracemalloc.stop()
