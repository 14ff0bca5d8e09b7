from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from google.protobuf.descriptor import FieldDescriptor
from llmbase.v1 import chat_completion_pb2 as pb

from service.errors import InvalidRequest
from service.providers.dialects.answer_tool import ANSWER_TOOL
from service.providers.dialects.bedrock import BedrockDialect
from tests.support.shared import require_shared

PLAIN = "meta.llama3-3-70b-instruct-v1:0"
CLAUDE_3 = "anthropic.claude-3-haiku-20240307-v1:0"
CLAUDE_3_7 = "us.anthropic.claude-3-7-sonnet-20250219-v1:0"
CLAUDE_4 = "anthropic.claude-sonnet-4-20250514-v1:0"
CLAUDE_4_5 = "us.anthropic.claude-haiku-4-5-20251001-v1:0"
CLAUDE_4_6 = "global.anthropic.claude-opus-4-6-v1"
CLAUDE_4_8 = "global.anthropic.claude-opus-4-8"
CLAUDE_NEW = "anthropic.claude-mythos-preview"
NOVA = "us.amazon.nova-lite-v1:0"
NOVA_2 = "us.amazon.nova-2-lite-v1:0"
GPT_OSS = "openai.gpt-oss-120b-1:0"

PIXEL = "iVBORw0KGgo="
SCHEMA = '{"type":"object","properties":{"a":{"type":"integer"}},"additionalProperties":false}'
TOOL = pb.Tool(name="weather", description="Tells it", parameters=SCHEMA)
TOOL_SENT = {
    "toolSpec": {
        "name": "weather",
        "description": "Tells it",
        "inputSchema": {"json": json.loads(SCHEMA)},
    }
}
FORMAT = pb.ResponseFormat(
    json_schema=pb.JsonSchema(name="point", schema=SCHEMA, description="A point", strict=True)
)
REQUIRED = pb.ToolChoice(mode=pb.ToolChoice.MODE_REQUIRED)
NONE = pb.ToolChoice(mode=pb.ToolChoice.MODE_NONE)
NAMED = pb.ToolChoice(function="weather")


def user(*texts: str) -> pb.Message:
    return pb.Message(role=pb.ROLE_USER, content=[pb.ContentPart(text=text) for text in texts])


def assistant(*texts: str, **fields: Any) -> pb.Message:
    content = [pb.ContentPart(text=text) for text in texts]
    return pb.Message(role=pb.ROLE_ASSISTANT, content=content, **fields)


def call(call_id: str = "t1", arguments: str = '{"a": 1}', name: str = "weather") -> pb.ToolCall:
    return pb.ToolCall(id=call_id, name=name, arguments=arguments)


def result(call_id: str = "t1", text: str = "rain") -> pb.Message:
    content = [pb.ContentPart(text=text)]
    return pb.Message(role=pb.ROLE_TOOL, tool_call_id=call_id, content=content)


CALLED = (user("Hi"), assistant(tool_calls=[call()]), result())


def asking(*messages: pb.Message, **fields: Any) -> pb.ChatCompletionRequest:
    return pb.ChatCompletionRequest(messages=messages or [user("Hi")], **fields)


def send(
    request: pb.ChatCompletionRequest, model: str = PLAIN, **extra_body: Any
) -> tuple[dict[str, Any], tuple[str, ...]]:
    """The body, and what was left out."""
    http = BedrockDialect(extra_body=extra_body).encode(request, model, stream=False)
    return json.loads(http.body), http.ignored


def sent(request: pb.ChatCompletionRequest, model: str = PLAIN) -> dict[str, Any]:
    """The body of a request of which nothing is left out."""
    body, ignored = send(request, model)
    assert ignored == ()
    return body


def ignored(request: pb.ChatCompletionRequest, model: str = PLAIN) -> tuple[str, ...]:
    return send(request, model)[1]


def turns(*messages: pb.Message) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = send(asking(*messages))[0]["messages"]
    return found


def test_a_bare_request_says_the_messages_and_nothing_else() -> None:
    assert sent(asking()) == {"messages": [{"role": "user", "content": [{"text": "Hi"}]}]}


@pytest.mark.parametrize(
    ("model", "path"),
    [
        ("amazon.nova-lite-v1:0", "amazon.nova-lite-v1%3A0"),
        (
            "arn:aws:bedrock:us-east-1:123456789012:inference-profile/us.x.y-v1:0",
            "arn%3Aaws%3Abedrock%3Aus-east-1%3A123456789012%3Ainference-profile%2Fus.x.y-v1%3A0",
        ),
        ("a b?c#d%e/../é", "a%20b%3Fc%23d%25e%2F..%2F%C3%A9"),
    ],
)
def test_the_model_is_one_segment_of_the_path_encoded_to_the_letter(model: str, path: str) -> None:
    dialect = BedrockDialect()
    assert dialect.encode(asking(), model, stream=False).path == f"/model/{path}/converse"
    assert dialect.encode(asking(), model, stream=True).path == f"/model/{path}/converse-stream"


def test_the_body_of_a_stream_is_that_of_a_whole_answer() -> None:
    dialect, request = BedrockDialect(), asking(max_tokens=5, tools=[TOOL])
    one, other = (dialect.encode(request, PLAIN, stream=stream) for stream in (False, True))
    assert one.body == other.body
    assert one.headers == {"Accept": "application/json"}
    assert other.headers == {"Accept": "application/vnd.amazon.eventstream"}


def test_limits_sampling_and_stops_are_the_inference_config() -> None:
    request = asking(max_tokens=7, temperature=0.0, top_p=0.5, stop=["a", "\n"])
    assert sent(request)["inferenceConfig"] == {
        "maxTokens": 7,
        "temperature": 0.0,
        "topP": 0.5,
        "stopSequences": ["a", "\n"],
    }


# System, turns and blocks.


def test_system_and_developer_text_leaves_the_messages_in_order() -> None:
    messages = [
        pb.Message(role=pb.ROLE_SYSTEM, content=[pb.ContentPart(text="One")]),
        user("Hi"),
        pb.Message(role=pb.ROLE_DEVELOPER, content=[pb.ContentPart(text="Two")]),
        pb.Message(role=pb.ROLE_SYSTEM, content=[pb.ContentPart(text=" \n")]),
    ]
    body = sent(asking(*messages))
    assert body["system"] == [{"text": "One"}, {"text": "Two"}]
    assert body["messages"] == [{"role": "user", "content": [{"text": "Hi"}]}]


def test_instructions_alone_are_what_the_user_says() -> None:
    only = pb.Message(role=pb.ROLE_SYSTEM, content=[pb.ContentPart(text="Say ok")])
    body = sent(asking(only))
    assert body == {"messages": [{"role": "user", "content": [{"text": "Say ok"}]}]}


def test_neighbours_that_speak_for_the_same_side_are_one_turn() -> None:
    assert turns(user("a"), user("b", "c"), assistant("d"), assistant("e"), user("f")) == [
        {"role": "user", "content": [{"text": "a"}, {"text": "b"}, {"text": "c"}]},
        {"role": "assistant", "content": [{"text": "d"}, {"text": "e"}]},
        {"role": "user", "content": [{"text": "f"}]},
    ]


def test_results_are_in_one_user_turn_and_first_in_it() -> None:
    said = turns(
        user("Hi"),
        assistant("Let me", tool_calls=[call("t1"), call("t2", "{}")]),
        result("t1", "rain"),
        user("And?"),
        result("t2", "sun"),
    )
    assert said[1]["content"] == [
        {"text": "Let me"},
        {"toolUse": {"toolUseId": "t1", "name": "weather", "input": {"a": 1}}},
        {"toolUse": {"toolUseId": "t2", "name": "weather", "input": {}}},
    ]
    assert said[2] == {
        "role": "user",
        "content": [
            {"toolResult": {"toolUseId": "t1", "content": [{"text": "rain"}]}},
            {"toolResult": {"toolUseId": "t2", "content": [{"text": "sun"}]}},
            {"text": "And?"},
        ],
    }


def test_a_conversation_that_the_assistant_begins_gets_a_user_turn_before_it() -> None:
    assert turns(assistant("Welcome"), user("Hi"))[:2] == [
        {"role": "user", "content": [{"text": "."}]},
        {"role": "assistant", "content": [{"text": "Welcome"}]},
    ]


@pytest.mark.parametrize("blank", ["", " ", "\n\t "])
def test_blank_text_is_left_out_and_what_is_left_empty_holds_a_full_stop(blank: str) -> None:
    said = turns(
        user(blank, "Hi", blank),
        assistant(blank, tool_calls=[call()]),
        result(text=blank),
        assistant(blank),
        user(blank),
    )
    full_stop = [{"text": "."}]
    assert said[0]["content"] == [{"text": "Hi"}]
    assert [list(block) for block in said[1]["content"]] == [["toolUse"]]
    assert said[2]["content"] == [{"toolResult": {"toolUseId": "t1", "content": full_stop}}]
    assert [turn["content"] for turn in said[3:]] == [full_stop, full_stop]


def test_an_answer_that_is_to_be_gone_on_with_does_not_end_in_white_space() -> None:
    assert turns(user("Hi"), assistant("a ", "b \n"))[-1]["content"] == [
        {"text": "a "},
        {"text": "b"},
    ]


def test_a_claude_that_goes_on_with_no_answer_is_not_asked_to() -> None:
    request = asking(user("Hi"), assistant("a"))
    for model in (CLAUDE_4_6, CLAUDE_4_8, CLAUDE_NEW):
        with pytest.raises(InvalidRequest) as caught:
            BedrockDialect().encode(request, model, stream=False)
        assert [bad.field for bad in caught.value.violations] == ["messages[1].role"]
    for model in (CLAUDE_4, CLAUDE_4_5, NOVA, PLAIN):
        assert BedrockDialect().encode(request, model, stream=False).ignored == ()


def test_a_refusal_is_said_again_as_text() -> None:
    refusing = assistant(refusal="No.")
    parts = pb.Message(role=pb.ROLE_ASSISTANT, content=[pb.ContentPart(refusal="Never.")])
    assert turns(user("Hi"), refusing, parts, user("Why?"))[1]["content"] == [
        {"text": "No."},
        {"text": "Never."},
    ]


def test_reasoning_in_clear_text_stays_behind() -> None:
    said = turns(user("Hi"), assistant("Hello", reasoning_content="Hm."), user("Bye"))
    assert said[1]["content"] == [{"text": "Hello"}]


@pytest.mark.parametrize(
    ("mime_type", "form"),
    [
        ("image/png", "png"),
        ("image/jpeg", "jpeg"),
        ("IMAGE/JPG", "jpeg"),
        ("image/gif", "gif"),
        ("image/webp", "webp"),
    ],
)
def test_an_image_goes_in_bytes_with_the_form_its_type_names(mime_type: str, form: str) -> None:
    url = f"data:{mime_type};base64,{PIXEL}"
    image = pb.ContentPart(image_url=pb.ImageUrl(url=url, detail="auto"))
    message = pb.Message(role=pb.ROLE_USER, content=[pb.ContentPart(text="See"), image])
    assert sent(asking(message))["messages"][0]["content"] == [
        {"text": "See"},
        {"image": {"format": form, "source": {"bytes": PIXEL}}},
    ]


@pytest.mark.parametrize(
    "url",
    [
        "https://example.com/a.png",
        f"data:image/tiff;base64,{PIXEL}",
        "data:image/png;base64,?",
        "data:image/png,x",
    ],
)
def test_an_image_that_is_not_in_bytes_of_a_known_form_is_refused_by_its_path(url: str) -> None:
    assert BedrockDialect.takes_image_urls is False
    system = pb.Message(role=pb.ROLE_SYSTEM, content=[pb.ContentPart(text="x")])
    image = pb.ContentPart(image_url=pb.ImageUrl(url=url))
    message = pb.Message(role=pb.ROLE_USER, content=[pb.ContentPart(text="See"), image])
    with pytest.raises(InvalidRequest) as raised:
        send(asking(system, user("Hi"), message))
    assert raised.value.violations[0].field == "messages[2].content[1].image_url.url"


# Tool calls.


def test_arguments_keep_their_numbers_and_the_order_of_their_keys() -> None:
    arguments = '{"z": 12345678901234567890123, "a": 1.10, "b": 1E400, "é": "\\u00e9"}'
    request = asking(user("Hi"), assistant(tool_calls=[call(arguments=arguments)]), result())
    body = BedrockDialect().encode(request, PLAIN, stream=False).body
    assert b'"input":' + arguments.encode() in body


@pytest.mark.parametrize("arguments", ["", " "])
def test_no_arguments_are_an_empty_object(arguments: str) -> None:
    said = turns(user("Hi"), assistant(tool_calls=[call(arguments=arguments)]), result())
    assert said[1]["content"][0]["toolUse"]["input"] == {}


@pytest.mark.parametrize("arguments", ['{"a":', "[1]", "nul", '"x"', "NaN", '{"a": NaN}'])
def test_arguments_that_are_no_object_are_shown_inside_of_one(arguments: str) -> None:
    said = turns(user("Hi"), assistant(tool_calls=[call(arguments=arguments)]), result())
    assert said[1]["content"][0]["toolUse"]["input"] == {"invalid_arguments": arguments}


def test_arguments_of_any_text_at_all_leave_the_body_valid() -> None:
    for file in sorted(require_shared("nasty", "jsontestsuite").glob("*.json")):
        text = _text(file)
        if text is not None:
            said = turns(user("Hi"), assistant(tool_calls=[call(arguments=text)]), result())
            assert isinstance(said[1]["content"][0]["toolUse"]["input"], dict), file.name


def _text(file: Path) -> str | None:
    try:
        return file.read_bytes().decode()
    except UnicodeDecodeError:
        return None


@pytest.mark.parametrize("strange", ["a b", "é", "x" * 65, "call/1", "t\n"])
def test_ids_of_another_alphabet_are_replaced_in_the_call_and_in_its_result(strange: str) -> None:
    said = turns(user("Hi"), assistant(tool_calls=[call(strange)]), result(strange))
    given = said[1]["content"][0]["toolUse"]["toolUseId"]
    assert given == said[2]["content"][0]["toolResult"]["toolUseId"] != strange
    assert given.isascii() and given.replace("_", "").isalnum() and len(given) <= 64


def test_an_id_that_comes_twice_in_a_conversation_is_made_another_one() -> None:
    said = turns(*CALLED, assistant(tool_calls=[call()]), result())
    one, two = (said[i]["content"][0]["toolUse"]["toolUseId"] for i in (1, 3))
    assert (one, one != two) == ("t1", True)
    assert [said[i]["content"][0]["toolResult"]["toolUseId"] for i in (2, 4)] == [one, two]


# Tools.


def test_a_tool_is_a_name_a_description_and_a_schema() -> None:
    assert sent(asking(tools=[TOOL]))["toolConfig"] == {"tools": [TOOL_SENT]}


def test_a_schema_keeps_its_numbers_and_the_order_of_its_keys() -> None:
    schema = '{"type":"object","properties":{"z":{"maximum":12345678901234567890123},"a":{}}}'
    request = asking(tools=[pb.Tool(name="f", parameters=schema)])
    assert schema.encode() in BedrockDialect().encode(request, PLAIN, stream=False).body


@pytest.mark.parametrize("parameters", [None, "{}", '{"properties": {}}'])
def test_the_schema_of_a_tool_always_says_that_it_is_of_an_object(parameters: str | None) -> None:
    tool = pb.Tool(name="f", description=" ", parameters=parameters)
    spec = sent(asking(tools=[tool]))["toolConfig"]["tools"][0]["toolSpec"]
    given = json.loads(parameters or "{}")
    assert spec == {"name": "f", "inputSchema": {"json": {"type": "object", **given}}}


@pytest.mark.parametrize(
    ("choice", "wanted"),
    [
        (pb.ToolChoice(mode=pb.ToolChoice.MODE_AUTO), None),
        (REQUIRED, {"any": {}}),
        (NAMED, {"tool": {"name": "weather"}}),
    ],
)
def test_a_tool_choice_is_sent_where_it_is_not_what_happens_anyway(
    choice: pb.ToolChoice, wanted: Any
) -> None:
    config = sent(asking(tools=[TOOL], tool_choice=choice))["toolConfig"]
    assert config.get("toolChoice") == wanted


def test_tools_that_must_not_be_called_are_left_out() -> None:
    assert "toolConfig" not in sent(asking(tools=[TOOL], tool_choice=NONE))


def test_tools_that_must_not_be_called_stay_when_the_conversation_holds_calls() -> None:
    body, left_out = send(asking(*CALLED, tools=[TOOL], tool_choice=NONE))
    assert body["toolConfig"] == {"tools": [TOOL_SENT]}
    assert left_out == ("tool_choice",)


def test_a_conversation_that_holds_calls_offers_what_was_called() -> None:
    twice = assistant(tool_calls=[call("t2", name="time"), call("t3")])
    config = sent(asking(*CALLED, twice, result("t2"), result("t3")))["toolConfig"]
    schema = {"json": {"type": "object"}}
    assert config == {
        "tools": [
            {"toolSpec": {"name": name, "inputSchema": schema}} for name in ("weather", "time")
        ]
    }


def test_strict_arguments_are_asked_for_where_the_model_is_known_to_take_it() -> None:
    request = asking(tools=[pb.Tool(name="f", parameters=SCHEMA, strict=True)])
    strict = sent(request, CLAUDE_4_5)["toolConfig"]["tools"][0]["toolSpec"]
    assert strict["strict"] is True
    for model in (PLAIN, NOVA, CLAUDE_4):
        body, left_out = send(request, model)
        assert "strict" not in body["toolConfig"]["tools"][0]["toolSpec"]
        assert left_out == ("tools[].function.strict",)


# The form of the answer.


@pytest.mark.parametrize("model", [PLAIN, CLAUDE_4_5, CLAUDE_4_8, GPT_OSS])
def test_a_schema_for_the_answer_is_sent_as_text(model: str) -> None:
    assert sent(asking(response_format=FORMAT), model)["outputConfig"] == {
        "textFormat": {
            "type": "json_schema",
            "structure": {
                "jsonSchema": {"schema": SCHEMA, "name": "point", "description": "A point"}
            },
        }
    }


ANSWER_SENT = {
    "toolSpec": {
        "name": ANSWER_TOOL,
        "description": "A point",
        "inputSchema": {"json": json.loads(SCHEMA)},
    }
}


@pytest.mark.parametrize("model", [NOVA, NOVA_2, CLAUDE_3, CLAUDE_3_7, CLAUDE_4])
def test_a_model_that_takes_no_schema_has_to_answer_by_a_call(model: str) -> None:
    body = sent(asking(response_format=FORMAT), model)
    choice = {"tool": {"name": ANSWER_TOOL}}
    assert body["toolConfig"] == {"tools": [ANSWER_SENT], "toolChoice": choice}
    assert "outputConfig" not in body


@pytest.mark.parametrize("choice", [None, REQUIRED])
def test_a_model_that_answers_by_a_call_may_call_the_callers_tools_instead(choice: Any) -> None:
    request = asking(response_format=FORMAT, tools=[TOOL], tool_choice=choice)
    wanted = {"tools": [TOOL_SENT, ANSWER_SENT], "toolChoice": {"any": {}}}
    assert sent(request, NOVA)["toolConfig"] == wanted


def test_a_model_that_answers_by_a_call_is_not_shown_tools_it_must_not_call() -> None:
    request = asking(*CALLED, response_format=FORMAT, tools=[TOOL], tool_choice=NONE)
    choice = {"tool": {"name": ANSWER_TOOL}}
    assert sent(request, NOVA)["toolConfig"] == {"tools": [ANSWER_SENT], "toolChoice": choice}


def test_a_demanded_call_comes_before_the_form_of_an_answer() -> None:
    request = asking(response_format=FORMAT, tools=[TOOL], tool_choice=NAMED)
    body, left_out = send(request, NOVA)
    choice = {"tool": {"name": "weather"}}
    assert body["toolConfig"] == {"tools": [TOOL_SENT], "toolChoice": choice}
    assert left_out == ("response_format",)


def test_what_a_schema_cannot_enforce_is_named_where_it_was_to_be_strict() -> None:
    ranged = '{"type":"object","properties":{"a":{"type":"integer","maximum":9}}}'
    wanted = pb.ResponseFormat(json_schema=pb.JsonSchema(name="x", schema=ranged, strict=True))
    body, left_out = send(asking(response_format=wanted), CLAUDE_4_5)
    sent_schema = json.loads(
        body["outputConfig"]["textFormat"]["structure"]["jsonSchema"]["schema"]
    )
    assert sent_schema["additionalProperties"] is False
    assert "maximum" not in sent_schema["properties"]["a"]
    assert left_out == ("response_format.json_schema.strict",)


@pytest.mark.parametrize("model", [PLAIN, NOVA, CLAUDE_4_8])
@pytest.mark.parametrize(
    "wanted",
    [
        pb.ResponseFormat(json_object=pb.ResponseFormat.JsonObject()),
        pb.ResponseFormat(json_schema=pb.JsonSchema(name="any")),
    ],
    ids=["json_object", "no schema"],
)
def test_any_object_is_asked_for_in_words_and_named(model: str, wanted: pb.ResponseFormat) -> None:
    body, left_out = send(asking(response_format=wanted), model)
    assert set(body) == {"messages", "system"}
    assert "JSON" in body["system"][0]["text"]
    assert left_out == ("response_format",)


# Reasoning.

EFFORTS = {
    "none": pb.REASONING_EFFORT_NONE,
    "minimal": pb.REASONING_EFFORT_MINIMAL,
    "low": pb.REASONING_EFFORT_LOW,
    "medium": pb.REASONING_EFFORT_MEDIUM,
    "high": pb.REASONING_EFFORT_HIGH,
    "xhigh": pb.REASONING_EFFORT_XHIGH,
    "max": pb.REASONING_EFFORT_MAX,
}


def reasoned(effort: str, model: str, **fields: Any) -> Any:
    """The model's own fields for a reasoning effort that is honoured."""
    body = sent(asking(reasoning_effort=EFFORTS[effort], **fields), model)
    return body.get("additionalModelRequestFields")


def budget(tokens: int) -> dict[str, Any]:
    return {"thinking": {"type": "enabled", "budget_tokens": tokens}}


def adaptive(word: str) -> dict[str, Any]:
    thinking = {"type": "adaptive", "display": "summarized"}
    return {"thinking": thinking, "output_config": {"effort": word}}


def nova(word: str) -> dict[str, Any]:
    return {"reasoningConfig": {"type": "enabled", "maxReasoningEffort": word}}


@pytest.mark.parametrize("model", [CLAUDE_3_7, CLAUDE_4, CLAUDE_4_5])
def test_older_claudes_think_by_budget(model: str) -> None:
    assert reasoned("none", model) is None
    assert reasoned("minimal", model) == budget(1024)
    assert reasoned("medium", model) == budget(8192)
    assert reasoned("medium", model, max_tokens=4000) == budget(2000)


def test_thinking_that_does_not_fit_in_the_limit_is_left_out_and_named() -> None:
    request = asking(reasoning_effort=pb.REASONING_EFFORT_HIGH, max_tokens=1024)
    body, left_out = send(request, CLAUDE_4_5)
    assert "additionalModelRequestFields" not in body
    assert left_out == ("reasoning_effort",)


def test_newer_claudes_think_by_effort() -> None:
    assert reasoned("low", CLAUDE_4_6) == adaptive("low")
    assert reasoned("xhigh", CLAUDE_4_6) == adaptive("high")
    assert reasoned("xhigh", CLAUDE_4_8) == adaptive("xhigh")
    assert reasoned("max", CLAUDE_NEW) == adaptive("max")
    assert reasoned("none", CLAUDE_4_8) is None


def test_a_claude_of_an_arn_or_a_region_is_a_claude() -> None:
    arn = f"arn:aws:bedrock:eu-west-1:123456789012:inference-profile/eu.{CLAUDE_4}"
    assert reasoned("minimal", arn) == budget(1024)


def test_nova_2_is_told_how_much_to_reason() -> None:
    assert reasoned("none", NOVA_2) == {"reasoningConfig": {"type": "disabled"}}
    assert reasoned("minimal", NOVA_2) == nova("low")
    assert reasoned("medium", NOVA_2, max_tokens=100, temperature=0.5) == nova("medium")
    assert reasoned("max", NOVA_2) == nova("high")


def test_nova_2_reasons_less_rather_than_beyond_the_limit() -> None:
    assert reasoned("high", NOVA_2, max_tokens=100, temperature=0.5) == nova("medium")


def test_nova_2_takes_no_sampling_beside_high_effort() -> None:
    request = asking(reasoning_effort=pb.REASONING_EFFORT_HIGH, temperature=0.5, top_p=0.5)
    body, left_out = send(request, NOVA_2)
    assert "inferenceConfig" not in body
    assert left_out == ("temperature", "top_p")


def test_gpt_oss_is_told_by_a_word_and_cannot_be_told_not_to_reason() -> None:
    assert reasoned("minimal", GPT_OSS) == {"reasoning_effort": "low"}
    assert reasoned("medium", GPT_OSS) == {"reasoning_effort": "medium"}
    assert reasoned("xhigh", GPT_OSS) == {"reasoning_effort": "high"}
    body, left_out = send(asking(reasoning_effort=pb.REASONING_EFFORT_NONE), GPT_OSS)
    assert body["additionalModelRequestFields"] == {"reasoning_effort": "low"}
    assert left_out == ("reasoning_effort",)


@pytest.mark.parametrize("model", [PLAIN, NOVA, CLAUDE_3, "arn:aws:bedrock:::prompt-router/x"])
def test_models_that_are_not_known_to_reason_are_not_told_to(model: str) -> None:
    for effort in EFFORTS:
        body, left_out = send(asking(reasoning_effort=EFFORTS[effort]), model)
        assert "additionalModelRequestFields" not in body
        assert left_out == (() if effort == "none" else ("reasoning_effort",))


@pytest.mark.parametrize(
    "fields",
    [{"tools": [TOOL], "tool_choice": REQUIRED}, {"response_format": FORMAT}],
    ids=["required", "answers by a call"],
)
def test_a_claude_that_must_call_does_not_think_by_budget(fields: dict[str, Any]) -> None:
    request = asking(reasoning_effort=pb.REASONING_EFFORT_LOW, **fields)
    body, left_out = send(request, CLAUDE_4)
    assert "toolChoice" in body["toolConfig"]
    assert "additionalModelRequestFields" not in body
    assert left_out == ("reasoning_effort",)


def test_a_claude_does_not_think_by_budget_after_calls_whose_thinking_is_gone() -> None:
    request = asking(*CALLED, tools=[TOOL], reasoning_effort=pb.REASONING_EFFORT_LOW)
    assert ignored(request, CLAUDE_4_5) == ("reasoning_effort",)
    assert ignored(request, CLAUDE_4_8) == ()


# Sampling and the rest.


def test_a_temperature_beyond_one_is_one_and_named() -> None:
    body, left_out = send(asking(temperature=1.5))
    assert body["inferenceConfig"] == {"temperature": 1.0}
    assert left_out == ("temperature",)


def test_a_claude_that_thinks_takes_little_sampling() -> None:
    request = asking(reasoning_effort=pb.REASONING_EFFORT_LOW, temperature=0.5, top_p=0.5)
    body, left_out = send(request, CLAUDE_3_7)
    assert "inferenceConfig" not in body
    assert left_out == ("temperature", "top_p")
    request = asking(reasoning_effort=pb.REASONING_EFFORT_LOW, temperature=1.0, top_p=0.96)
    assert sent(request, CLAUDE_3_7)["inferenceConfig"] == {"topP": 0.96}


def test_claudes_since_4_5_take_temperature_or_top_p_and_later_ones_neither() -> None:
    request = asking(temperature=0.5, top_p=0.5)
    assert sent(request, CLAUDE_3)["inferenceConfig"] == {"temperature": 0.5, "topP": 0.5}
    body, left_out = send(request, CLAUDE_4_5)
    assert (body["inferenceConfig"], left_out) == ({"temperature": 0.5}, ("top_p",))
    body, left_out = send(request, CLAUDE_4_8)
    assert ("inferenceConfig" in body, left_out) == (False, ("temperature", "top_p"))


def test_blank_stops_are_left_out_for_claude_alone() -> None:
    body, left_out = send(asking(stop=["\n", "x"]), CLAUDE_3)
    assert body["inferenceConfig"] == {"stopSequences": ["x"]}
    assert left_out == ("stop",)


def test_labels_are_sent_as_far_as_their_alphabet_goes() -> None:
    labels = {"team": "a/b:c@d", "long": "x" * 257, "é": "1", "b": "*", "empty": ""}
    body, left_out = send(asking(metadata=labels))
    assert body["requestMetadata"] == {"team": "a/b:c@d", "empty": ""}
    assert left_out == ("metadata",)


@pytest.mark.parametrize("tier", ["default", "flex", "priority", "reserved"])
def test_a_tier_is_sent_in_the_providers_words(tier: str) -> None:
    assert sent(asking(service_tier=tier))["serviceTier"] == {"type": tier}


def test_a_tier_that_is_left_to_the_provider_is_not_sent_and_an_unknown_one_named() -> None:
    assert "serviceTier" not in sent(asking(service_tier="auto"))
    assert ignored(asking(service_tier="scale")) == ("service_tier",)


IGNORED = {
    "frequency_penalty": 0.5,
    "presence_penalty": -0.5,
    "seed": 0,
    "parallel_tool_calls": False,
    "logprobs": True,
    "logit_bias": {"1": 1},
    "n": 2,
    "prompt_cache_key": "k",
    "user": "u",
    "chat_template_kwargs": pb.ChatTemplateKwargs(thinking=True),
}


@pytest.mark.parametrize("name", IGNORED)
def test_a_field_without_an_equal_is_left_out_and_named(name: str) -> None:
    body, left_out = send(asking(**{name: IGNORED[name]}))
    assert body == sent(asking())
    assert left_out == (name,)


def test_what_happens_anyway_is_not_named() -> None:
    request = asking(
        frequency_penalty=0.0, parallel_tool_calls=True, logprobs=False, n=1, store=True
    )
    assert sent(request) == sent(asking())


def test_names_and_how_closely_to_look_are_named() -> None:
    url = pb.ImageUrl(url=f"data:image/png;base64,{PIXEL}", detail="high")
    message = pb.Message(role=pb.ROLE_USER, name="Ann", content=[pb.ContentPart(image_url=url)])
    assert ignored(asking(message)) == ("messages[].name", "messages[].content[].image_url.detail")


def test_every_field_of_a_request_is_sent_or_named() -> None:
    everything = {
        **IGNORED,
        "temperature": 0.5,
        "top_p": 0.5,
        "max_tokens": 9,
        "stop": ["x"],
        "tools": [TOOL],
        "tool_choice": REQUIRED,
        "response_format": FORMAT,
        "reasoning_effort": pb.REASONING_EFFORT_LOW,
        "top_logprobs": 1,
        "metadata": {"a": "b"},
        "service_tier": "flex",
    }
    assert {field.name for field in _fields()} - everything.keys() == {
        "model",
        "messages",
        "store",
        "llmbase",
        "idempotency_key",
        "last_chunk_sequence",
    }
    whole = send(asking(**everything), GPT_OSS)
    for field in everything:
        others = {name: value for name, value in everything.items() if name != field}
        assert send(asking(**others), GPT_OSS) != whole, field


def _fields() -> list[FieldDescriptor]:
    return list(pb.ChatCompletionRequest.DESCRIPTOR.fields)


# What the configuration adds.


def test_the_configurations_body_is_merged_and_the_request_wins() -> None:
    body, _ = send(
        asking(max_tokens=5000, reasoning_effort=pb.REASONING_EFFORT_MINIMAL),
        CLAUDE_4_5,
        inferenceConfig={"maxTokens": 9, "topP": 0.5},
        additionalModelRequestFields={"anthropic_beta": ["x"]},
        guardrailConfig={"guardrailIdentifier": "g"},
        messages="nonsense",
    )
    assert body["inferenceConfig"] == {"maxTokens": 5000, "topP": 0.5}
    assert body["additionalModelRequestFields"] == {"anthropic_beta": ["x"], **budget(1024)}
    assert body["guardrailConfig"] == {"guardrailIdentifier": "g"}
    assert body["messages"] == [{"role": "user", "content": [{"text": "Hi"}]}]
