from __future__ import annotations

import json
from typing import Any

import pytest
from google.protobuf.descriptor import FieldDescriptor
from llmbase.v1 import chat_completion_pb2 as pb

from service.config import ProviderConfig
from service.providers.dialects import DIALECTS
from service.providers.dialects.openai import OpenAiDialect
from service.providers.dialects.openai_spelling import Spelling

USER = pb.Message(role=pb.ROLE_USER, content=[pb.ContentPart(text="Hi")])
ASKED = [{"role": "user", "content": "Hi"}]


def sent(
    request: pb.ChatCompletionRequest, dialect: OpenAiDialect | None = None, *, stream: bool = False
) -> dict[str, Any]:
    body = (dialect or OpenAiDialect()).encode(request, "their-model", stream=stream).body
    found: dict[str, Any] = json.loads(body)
    return found


def asking(**fields: Any) -> pb.ChatCompletionRequest:
    return pb.ChatCompletionRequest(model="public/model", messages=[USER], **fields)


def telling(*messages: pb.Message) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = sent(pb.ChatCompletionRequest(messages=messages))["messages"]
    return found


def test_a_bare_request_says_the_model_and_the_messages_and_nothing_else() -> None:
    assert sent(asking()) == {"model": "their-model", "messages": ASKED}


def test_a_stream_always_asks_for_usage() -> None:
    body = sent(asking(), stream=True)
    assert body["stream"] is True
    assert body["stream_options"] == {"include_usage": True}


@pytest.mark.parametrize(
    ("fields", "wanted"),
    [
        ({"temperature": 0.0}, {"temperature": 0.0}),
        ({"top_p": 0.0}, {"top_p": 0.0}),
        ({"max_tokens": 7}, {"max_tokens": 7}),
        ({"frequency_penalty": -2.0}, {"frequency_penalty": -2.0}),
        ({"presence_penalty": 0.0}, {"presence_penalty": 0.0}),
        ({"stop": ["\n"]}, {"stop": ["\n"]}),
        ({"seed": 0}, {"seed": 0}),
        ({"seed": -(2**63)}, {"seed": -(2**63)}),
        ({"parallel_tool_calls": False}, {"parallel_tool_calls": False}),
        ({"reasoning_effort": pb.REASONING_EFFORT_XHIGH}, {"reasoning_effort": "xhigh"}),
        ({"reasoning_effort": pb.REASONING_EFFORT_NONE}, {"reasoning_effort": "none"}),
        (
            {"chat_template_kwargs": pb.ChatTemplateKwargs(enable_thinking=False, thinking=True)},
            {"chat_template_kwargs": {"enable_thinking": False, "thinking": True}},
        ),
        ({"logprobs": False}, {"logprobs": False}),
        ({"top_logprobs": 0}, {"top_logprobs": 0}),
        ({"logit_bias": {"50256": -100}}, {"logit_bias": {"50256": -100}}),
        ({"n": 1}, {"n": 1}),
        ({"prompt_cache_key": ""}, {"prompt_cache_key": ""}),
        ({"user": "u"}, {"user": "u"}),
        ({"service_tier": "flex"}, {"service_tier": "flex"}),
        ({"tool_choice": pb.ToolChoice(mode=pb.ToolChoice.MODE_AUTO)}, {"tool_choice": "auto"}),
        ({"tool_choice": pb.ToolChoice(mode=pb.ToolChoice.MODE_NONE)}, {"tool_choice": "none"}),
        (
            {"tool_choice": pb.ToolChoice(mode=pb.ToolChoice.MODE_REQUIRED)},
            {"tool_choice": "required"},
        ),
        (
            {"tool_choice": pb.ToolChoice(function="f")},
            {"tool_choice": {"type": "function", "function": {"name": "f"}}},
        ),
        (
            {"tools": [pb.Tool(name="f")]},
            {"tools": [{"type": "function", "function": {"name": "f"}}]},
        ),
        (
            {"response_format": pb.ResponseFormat(json_object=pb.ResponseFormat.JsonObject())},
            {"response_format": {"type": "json_object"}},
        ),
        ({"store": True}, {}),  # promised to have no effect
    ],
)
def test_what_is_set_is_sent_even_where_it_is_zero(
    fields: dict[str, Any], wanted: dict[str, Any]
) -> None:
    assert sent(asking(**fields)) == {"model": "their-model", "messages": ASKED} | wanted


def test_no_field_of_a_request_is_forgotten() -> None:
    request = asking(
        tools=[pb.Tool(name="f")],
        tool_choice=pb.ToolChoice(function="f"),
        response_format=pb.ResponseFormat(json_object=pb.ResponseFormat.JsonObject()),
        chat_template_kwargs=pb.ChatTemplateKwargs(thinking=True),
        reasoning_effort=pb.REASONING_EFFORT_LOW,
        stop=["s"],
        logit_bias={"1": 1},
        metadata={"a": "b"},
    )
    samples: dict[int, Any] = {
        FieldDescriptor.TYPE_DOUBLE: 0.5,
        FieldDescriptor.TYPE_BOOL: True,
        FieldDescriptor.TYPE_STRING: "s",
    }
    for field in pb.ChatCompletionRequest.DESCRIPTOR.fields:
        if field.has_presence and field.message_type is None:
            setattr(request, field.name, samples.get(field.type, 1))
    names = {field.name for field in pb.ChatCompletionRequest.DESCRIPTOR.fields}
    ours = {"llmbase", "idempotency_key", "last_chunk_sequence"}
    assert set(sent(request)) == names - {"store", "metadata"} - ours
    assert OpenAiDialect().encode(request, "m", stream=False).ignored == ("metadata",)


def test_schemas_go_in_character_for_character() -> None:
    schema = '{"b": 1.10, "a":12345678901234567890123, "b":{"enum": ["\\u00e9"]} }'
    tool = pb.Tool(name="f", description="d", parameters=schema, strict=False)
    output = pb.JsonSchema(name="o", description="e", schema=schema, strict=True)
    request = asking(tools=[tool], response_format=pb.ResponseFormat(json_schema=output))
    body = OpenAiDialect().encode(request, "m", stream=False).body
    assert body.count(schema.encode()) == 2
    assert json.loads(body)["response_format"] == {
        "type": "json_schema",
        "json_schema": {
            "name": "o",
            "description": "e",
            "schema": json.loads(schema),
            "strict": True,
        },
    }
    assert json.loads(body)["tools"][0]["function"]["strict"] is False


def test_a_single_text_is_a_string_and_everything_else_a_list() -> None:
    image = pb.ContentPart(image_url=pb.ImageUrl(url="https://x/y.png", detail="low"))
    bare = pb.ContentPart(image_url=pb.ImageUrl(url="data:image/png;base64,AA=="))
    text = pb.ContentPart(text="")
    found = telling(
        pb.Message(role=pb.ROLE_USER, content=[text]),
        pb.Message(role=pb.ROLE_USER, content=[image]),
        pb.Message(role=pb.ROLE_USER, content=[text, bare, text]),
    )
    assert [message["content"] for message in found] == [
        "",
        [{"type": "image_url", "image_url": {"url": "https://x/y.png", "detail": "low"}}],
        [
            {"type": "text", "text": ""},
            {"type": "image_url", "image_url": {"url": "data:image/png;base64,AA=="}},
            {"type": "text", "text": ""},
        ],
    ]


def test_an_assistant_turn_carries_its_calls_and_null_content() -> None:
    call = pb.ToolCall(id="c1", name="f", arguments='{"a": 1.0}')
    found = telling(
        pb.Message(role=pb.ROLE_ASSISTANT, tool_calls=[call]),
        pb.Message(
            role=pb.ROLE_TOOL, tool_call_id="c1", content=[pb.ContentPart(text="done")], name="f"
        ),
    )
    function = {"name": "f", "arguments": '{"a": 1.0}'}
    assert found == [
        {
            "role": "assistant",
            "content": None,
            "tool_calls": [{"id": "c1", "type": "function", "function": function}],
        },
        {"role": "tool", "content": "done", "tool_call_id": "c1", "name": "f"},
    ]


def test_a_refusal_goes_back_as_a_field_or_as_a_part() -> None:
    found = telling(
        pb.Message(role=pb.ROLE_ASSISTANT, refusal="no"),
        pb.Message(role=pb.ROLE_ASSISTANT, content=[pb.ContentPart(refusal="no")]),
    )
    assert found == [
        {"role": "assistant", "content": None, "refusal": "no"},
        {"role": "assistant", "content": [{"type": "refusal", "refusal": "no"}]},
    ]


def test_roles_go_by_their_names_and_developer_by_what_the_provider_has() -> None:
    roles = [pb.ROLE_SYSTEM, pb.ROLE_DEVELOPER, pb.ROLE_USER, pb.ROLE_ASSISTANT, pb.ROLE_TOOL]
    request = pb.ChatCompletionRequest(messages=[pb.Message(role=role) for role in roles])
    found = [message["role"] for message in sent(request)["messages"]]
    assert found == ["system", "system", "user", "assistant", "tool"]
    strict = OpenAiDialect(Spelling(developer="developer"))
    assert sent(request, strict)["messages"][1]["role"] == "developer"


@pytest.mark.parametrize("field", ["reasoning_content", "reasoning", ""])
def test_reasoning_goes_back_in_the_field_that_the_provider_takes(field: str) -> None:
    request = pb.ChatCompletionRequest(
        messages=[pb.Message(role=pb.ROLE_ASSISTANT, reasoning_content="hm")]
    )
    (message,) = sent(request, OpenAiDialect(Spelling(reasoning=field)))["messages"]
    wanted = {"role": "assistant", "content": None} | ({field: "hm"} if field else {})
    assert message == wanted


def test_extra_fields_are_added_but_never_win() -> None:
    extra = {"top_k": 5, "temperature": 1, "model": "x", "stream": False}
    body = sent(asking(temperature=0.5), OpenAiDialect(Spelling(extra_body=extra)), stream=True)
    assert body["top_k"] == 5
    assert (body["temperature"], body["model"], body["stream"]) == (0.5, "their-model", True)
    assert extra == {"top_k": 5, "temperature": 1, "model": "x", "stream": False}


def test_at_home_the_limit_on_tokens_and_the_developer_have_their_newer_names() -> None:
    request = pb.ChatCompletionRequest(messages=[pb.Message(role=pb.ROLE_DEVELOPER)], max_tokens=5)
    spec = DIALECTS["openai"]
    at_home = ProviderConfig(dialect="openai")
    body = json.loads(spec.build(at_home).encode(request, "m", stream=False).body)
    assert (body["max_completion_tokens"], body["messages"][0]["role"]) == (5, "developer")
    elsewhere = ProviderConfig(dialect="openai", base_url="http://x/v1", extra_body={"a": 1})
    body = json.loads(spec.build(elsewhere).encode(request, "m", stream=False).body)
    assert (body["max_tokens"], body["a"], body["messages"][0]["role"]) == (5, 1, "system")


def test_requests_go_to_one_path_below_the_base_url() -> None:
    http = OpenAiDialect().encode(asking(), "m", stream=True)
    assert http.path == "/chat/completions"
    assert http.headers == {"Accept": "text/event-stream"}
