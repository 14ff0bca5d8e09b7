"""What a request body becomes, field by field, and what is refused with which path."""

from __future__ import annotations

import json
from typing import Any

import orjson
import pytest
from llmbase.v1 import chat_completion_pb2 as pb

from gateway.transcoding.request import RequestOptions, request_from_json, request_to_json
from tests.support.shared import require_shared, shared_json, shared_names
from tests.unit.gateway.requests import USER, ask, read, refusal, say


def test_every_plain_field_arrives_in_its_message_field() -> None:
    given = {
        "model": "zai-org/glm-5",
        "temperature": 0.7,
        "top_p": 0.9,
        "max_tokens": 100,
        "frequency_penalty": -1.5,
        "presence_penalty": 2,
        "seed": -(2**63),
        "parallel_tool_calls": False,
        "logprobs": True,
        "top_logprobs": 3,
        "n": 2,
        "prompt_cache_key": "k",
        "user": "u",
        "service_tier": "flex",
        "store": True,
    }

    request = read({**given, "messages": []})

    assert {name: getattr(request, name) for name in given} == given


def test_absent_fields_stay_absent() -> None:
    assert read({}) == pb.ChatCompletionRequest()


def test_null_is_absent_everywhere() -> None:
    body = ask(temperature=None, tools=None, stop=None, stream=None, stream_options=None)
    body["messages"] = [{**USER, "name": None, "tool_calls": None, "audio": None}]

    assert read(body) == read(ask())


def test_messages_keep_role_parts_and_order() -> None:
    request = read(
        {
            "messages": [
                {"role": "developer", "content": "a", "name": "n"},
                {"role": "system", "content": [{"type": "text", "text": "b"}]},
                {
                    "role": "user",
                    "content": [
                        {"type": "text", "text": ""},
                        {"type": "image_url", "image_url": {"url": "data:,x", "detail": "low"}},
                    ],
                },
                {"role": "assistant", "content": None, "refusal": "no", "reasoning_content": "r"},
                {"role": "assistant", "content": [{"type": "refusal", "refusal": "never"}]},
                {"role": "tool", "content": "7", "tool_call_id": "c1"},
            ]
        }
    )

    text, image = pb.ContentPart(text=""), pb.ImageUrl(url="data:,x", detail="low")
    assert list(request.messages) == [
        pb.Message(role=pb.ROLE_DEVELOPER, content=[pb.ContentPart(text="a")], name="n"),
        pb.Message(role=pb.ROLE_SYSTEM, content=[pb.ContentPart(text="b")]),
        pb.Message(role=pb.ROLE_USER, content=[text, pb.ContentPart(image_url=image)]),
        pb.Message(role=pb.ROLE_ASSISTANT, refusal="no", reasoning_content="r"),
        pb.Message(role=pb.ROLE_ASSISTANT, content=[pb.ContentPart(refusal="never")]),
        pb.Message(role=pb.ROLE_TOOL, content=[pb.ContentPart(text="7")], tool_call_id="c1"),
    ]


def test_tool_calls_keep_their_arguments_as_text_and_their_state_as_bytes() -> None:
    function = {"name": "f", "arguments": '{"a": 1e999, "a": 2'}
    call = {"id": "c", "type": "function", "function": function, "provider_state": "AP8="}

    message = read(say(role="assistant", tool_calls=[call], provider_state="Zm9v")).messages[0]

    expected = pb.ToolCall(id="c", name="f", arguments=function["arguments"])
    expected.provider_state = b"\x00\xff"
    assert list(message.tool_calls) == [expected]
    assert message.provider_state == b"foo"


def test_a_call_without_arguments_has_an_empty_object() -> None:
    call = {"id": "c", "type": "function", "function": {"name": "f"}}

    assert read(say(role="assistant", tool_calls=[call])).messages[0].tool_calls[0].arguments == (
        "{}"
    )


def test_schemas_are_kept_as_they_were_written() -> None:
    schema = '{ "z": 123456789012345678901234567890,\n "a": 1.0, "e": 1E2, "u": "\\u0041" }'
    body = (
        '{"tools": [{"type": "function", "function": {"name": "f", "parameters": SCHEMA}},'
        ' {"function": {"name": "g"}, "type": "function"},'
        ' {"type": "function", "function": {"name": "h", "parameters": null}}],'
        ' "response_format": {"type": "json_schema",'
        ' "json_schema": {"name": "s", "schema": SCHEMA}}}'
    )

    request = request_from_json(body.replace("SCHEMA", schema).encode())[0]

    assert [tool.parameters for tool in request.tools] == [schema, "", ""]
    assert [tool.HasField("parameters") for tool in request.tools] == [True, False, False]
    assert request.response_format.json_schema.schema == schema
    assert schema in orjson.dumps(request_to_json(request)).decode()


def test_of_duplicate_keys_the_last_wins_for_schemas_too() -> None:
    body = (
        '{"model": "a", "tools": null, "tools": [{"type": "function", "function": {"name": "f",'
        ' "parameters": {"first": 1}, "parameters": {"last": 1}}}], "model": "b"}'
    )

    request = request_from_json(body.encode())[0]

    assert request.model == "b"
    assert request.tools[0].parameters == '{"last": 1}'


def test_a_duplicate_that_does_not_count_may_be_anything() -> None:
    tools = '[{"type": "function", "function": 1, "function": {"name": "f", "parameters": {}}}]'
    body = '{"tools": 5, "response_format": "x", "response_format": {"type": "text"}, "tools": %s}'

    request = request_from_json(body.replace("%s", tools).encode())[0]

    assert list(request.tools) == [pb.Tool(name="f", parameters="{}")]


def test_escaped_keys_are_the_keys_they_spell() -> None:
    body = (
        rb'{"too\u006cs": [{"type": "function", "functio\u006e": {"name": "f", '
        rb'"p\u0061rameters": {"a": 1}}}]}'
    )

    assert request_from_json(body)[0].tools[0].parameters == '{"a": 1}'


@pytest.mark.parametrize(
    ("choice", "expected"),
    [
        ("auto", pb.ToolChoice(mode=pb.ToolChoice.MODE_AUTO)),
        ("none", pb.ToolChoice(mode=pb.ToolChoice.MODE_NONE)),
        ("required", pb.ToolChoice(mode=pb.ToolChoice.MODE_REQUIRED)),
        ({"type": "function", "function": {"name": "f"}}, pb.ToolChoice(function="f")),
    ],
)
def test_tool_choice_is_a_mode_or_a_name(choice: Any, expected: pb.ToolChoice) -> None:
    assert read(ask(tool_choice=choice)).tool_choice == expected


def test_response_formats() -> None:
    assert not read(ask(response_format={"type": "text"})).HasField("response_format")
    json_object = read(ask(response_format={"type": "json_object"})).response_format
    assert json_object.WhichOneof("format") == "json_object"
    named = {"name": "s", "description": "d", "strict": True}
    json_schema = read(ask(response_format={"type": "json_schema", "json_schema": named}))
    assert json_schema.response_format.json_schema == pb.JsonSchema(**named)


@pytest.mark.parametrize("word", ["none", "minimal", "low", "medium", "high", "xhigh", "max"])
def test_reasoning_effort_is_the_enum_of_that_name(word: str) -> None:
    effort = read(ask(reasoning_effort=word)).reasoning_effort

    assert pb.ReasoningEffort.Name(effort) == f"REASONING_EFFORT_{word.upper()}"


@pytest.mark.parametrize(
    "fields",
    [
        {"chat_template_kwargs": {"enable_thinking": False, "x": 1}},
        {"extra_body.chat_template_kwargs": {"enable_thinking": False, "x": 1}},
        {"extra_body": {"chat_template_kwargs": {"enable_thinking": False, "x": 1}}},
    ],
    ids=["top level", "dotted key", "nested"],
)
def test_template_switches_have_three_spellings_and_others_are_left_out(
    fields: dict[str, Any],
) -> None:
    request, _, ignored = request_from_json(json.dumps(ask(**fields)).encode())

    assert request.chat_template_kwargs == pb.ChatTemplateKwargs(enable_thinking=False)
    assert ignored == ("chat_template_kwargs.x",)


@pytest.mark.parametrize(
    "fields",
    [
        {"max_tokens": 1, "max_completion_tokens": 2},
        {"max_completion_tokens": 2, "max_tokens": 1},
        {"max_completion_tokens": 2},
        {"max_tokens": 2, "max_completion_tokens": None},
    ],
)
def test_max_completion_tokens_wins_wherever_it_stands(fields: dict[str, Any]) -> None:
    assert read(ask(**fields)).max_tokens == 2


def test_an_integral_float_is_an_integer() -> None:
    request = read(ask(max_tokens=1.0, seed=1e15, n=2.0, logit_bias={"5": -3.0}))

    assert (request.max_tokens, request.seed, request.n) == (1, 10**15, 2)
    assert dict(request.logit_bias) == {"5": -3}


def test_stop_is_a_string_or_a_list_of_them() -> None:
    assert list(read(ask(stop="a")).stop) == ["a"]
    assert list(read(ask(stop=["a", "b"])).stop) == ["a", "b"]
    assert not read(ask(stop=[])).stop


def test_empty_tools_need_nothing() -> None:
    assert read(ask(tools=[])) == read(ask())


def test_stream_options_stay_at_the_door() -> None:
    def options(**fields: Any) -> RequestOptions:
        return request_from_json(json.dumps(ask(**fields)).encode())[1]

    assert options() == RequestOptions(stream=False, include_usage=False)
    assert options(stream=True) == RequestOptions(stream=True)
    usage = options(stream=True, stream_options={"include_usage": True})
    assert usage == RequestOptions(stream=True, include_usage=True)


def test_unknown_and_ignored_fields_are_named_once_by_their_place() -> None:
    body = ask(foo=1, verbosity="low", logit_bias={}, extra_body={"bar": [1]}, nothing=None)
    body["messages"] = [{**USER, "annotations": []}, {**USER, "annotations": [], "x.y": {}}]

    ignored = request_from_json(json.dumps(body).encode())[2]

    assert ignored == (
        "messages[].annotations",
        "messages[].x.y",
        "foo",
        "verbosity",
        "extra_body.bar",
    )


def test_the_documents_own_requests_are_read_without_loss() -> None:
    examples = _examples()
    conversations = [value for value in examples if isinstance(value, list)]
    requests = [value for value in examples if "messages" in value]
    messages = [value for value in examples if "role" in value]
    assert (len(conversations), len(requests), len(messages)) == (1, 1, 5)

    for body in [*requests, {"messages": conversations[0]}, {"messages": messages}]:
        request, options, ignored = request_from_json(json.dumps(body).encode())
        assert request_to_json(request, options) == body
        assert not ignored


def _examples() -> list[Any]:
    """The JSON values that begin at the beginning of a line of the API document."""
    found = []
    for document in shared_names("contract", pattern="*.txt"):
        text = require_shared("contract", document).read_text(encoding="utf-8")
        for mark in ("\n{", "\n[", "-d '{"):
            at = -1
            while (at := text.find(mark, at + 1)) >= 0:
                try:
                    value, _ = json.JSONDecoder().raw_decode(text, at + len(mark) - 1)
                except json.JSONDecodeError:
                    continue
                found.append(value)
    return found


def test_naughty_strings_arrive_unchanged() -> None:
    for text in shared_json("nasty", "blns.json"):
        function = {"name": text, "arguments": text}
        call = {"id": text, "type": "function", "function": function}
        message = {"role": "assistant", "content": text, "name": text, "tool_calls": [call]}

        request = read(ask(messages=[message], model=text, user=text))

        said = request.messages[0]
        assert (said.content[0].text, said.name) == (text, text)
        assert (said.tool_calls[0].name, said.tool_calls[0].arguments) == (text, text)
        assert (request.model, request.user) == (text, text)


def test_any_json_schema_arrives_as_its_text() -> None:
    for case in shared_json("nasty", "json_schemas.json"):
        tool = {"type": "function", "function": {"name": "f", "parameters": case["schema"]}}
        if not isinstance(case["schema"], dict):
            assert refusal(ask(tools=[tool])).param == "tools[0].function.parameters"
            continue

        request = read(ask(tools=[tool]))

        assert request.tools[0].parameters == json.dumps(case["schema"])
