from __future__ import annotations

import json
from typing import Any

import pytest
from llmbase.v1 import chat_completion_pb2 as pb

from service.errors import InvalidRequest
from service.providers.dialects.dialect import HttpRequest
from service.providers.dialects.gemini import GeminiDialect

MODEL = "gemini-2.0-flash"  # neither thinks nor wants signatures
USER = pb.Message(role=pb.ROLE_USER, content=[pb.ContentPart(text="Hi")])
ASKED = {"contents": [{"role": "user", "parts": [{"text": "Hi"}]}]}
DEVELOPER = GeminiDialect()
VERTEX = GeminiDialect(vertex=True, project="p-1", location="europe-west4")


def asking(**fields: Any) -> pb.ChatCompletionRequest:
    return pb.ChatCompletionRequest(model="public/model", messages=[USER], **fields)


def http(
    request: pb.ChatCompletionRequest, model: str = MODEL, dialect: GeminiDialect = DEVELOPER
) -> HttpRequest:
    return dialect.encode(request, model, stream=False)


def body(
    request: pb.ChatCompletionRequest, model: str = MODEL, dialect: GeminiDialect = DEVELOPER
) -> Any:
    return json.loads(http(request, model, dialect).body)


def config(**fields: Any) -> Any:
    sent = body(asking(**fields))
    assert sent.keys() <= {"contents", "generationConfig"}
    return sent.get("generationConfig")


def path(model: str, dialect: GeminiDialect = DEVELOPER, *, stream: bool = False) -> str:
    return dialect.encode(asking(), model, stream=stream).path


def test_a_bare_request_is_its_contents_and_nothing_else() -> None:
    assert body(asking()) == ASKED


def test_a_stream_is_another_method_and_asks_for_events() -> None:
    whole = DEVELOPER.encode(asking(), "gemini-3-pro-preview", stream=False)
    stream = DEVELOPER.encode(asking(), "gemini-3-pro-preview", stream=True)
    assert whole.path == "/v1beta/models/gemini-3-pro-preview:generateContent"
    assert stream.path == "/v1beta/models/gemini-3-pro-preview:streamGenerateContent?alt=sse"
    assert whole.headers == {"Accept": "application/json"}
    assert stream.headers == {"Accept": "text/event-stream"}
    assert stream.body == whole.body


@pytest.mark.parametrize(
    ("model", "wanted"),
    [
        ("models/gemini-2.5-pro", "/v1beta/models/gemini-2.5-pro:generateContent"),
        ("tunedModels/mine-1", "/v1beta/tunedModels/mine-1:generateContent"),
        ("odd name:x?#", "/v1beta/models/odd%20name%3Ax%3F%23:generateContent"),
    ],
)
def test_the_developer_api_takes_bare_names_and_names_of_resources(model: str, wanted: str) -> None:
    assert path(model) == wanted


@pytest.mark.parametrize(
    ("model", "wanted"),
    [
        ("gemini-2.5-pro", "publishers/google/models/gemini-2.5-pro"),
        ("gemini-1.5-pro@001", "publishers/google/models/gemini-1.5-pro@001"),
        ("meta/llama-4", "publishers/meta/models/llama-4"),
        ("publishers/anthropic/models/claude", "publishers/anthropic/models/claude"),
        ("endpoints/123456", "endpoints/123456"),
    ],
)
def test_vertex_puts_a_model_below_its_project_and_location(model: str, wanted: str) -> None:
    parent = "/v1/projects/p-1/locations/europe-west4/"
    assert path(model, VERTEX) == f"{parent}{wanted}:generateContent"
    assert path(model, VERTEX, stream=True) == f"{parent}{wanted}:streamGenerateContent?alt=sse"


def test_vertex_takes_a_whole_resource_name_as_it_is() -> None:
    name = "projects/other/locations/us-east5/endpoints/7"
    assert path(name, VERTEX) == f"/v1/{name}:generateContent"


def test_vertex_without_a_project_is_addressed_in_express_mode() -> None:
    wanted = "/v1/publishers/google/models/gemini-2.5-pro:generateContent"
    assert path("gemini-2.5-pro", GeminiDialect(vertex=True)) == wanted


@pytest.mark.parametrize("dialect", [DEVELOPER, VERTEX], ids=["developer", "vertex"])
@pytest.mark.parametrize("model", ["", "..", "models/../files", "a/./b", "/a", "a//b", "a/"])
def test_a_model_that_leads_elsewhere_is_refused(model: str, dialect: GeminiDialect) -> None:
    with pytest.raises(InvalidRequest) as caught:
        path(model, dialect)
    assert caught.value.violations[0].field == "model"


@pytest.mark.parametrize(
    ("fields", "wanted"),
    [
        ({"temperature": 0.0}, {"temperature": 0.0}),
        ({"top_p": 0.0}, {"topP": 0.0}),
        ({"max_tokens": 7}, {"maxOutputTokens": 7}),
        ({"frequency_penalty": -2.0}, {"frequencyPenalty": -2.0}),
        ({"presence_penalty": 0.0}, {"presencePenalty": 0.0}),
        ({"stop": ["a", "b", "c", "d"]}, {"stopSequences": ["a", "b", "c", "d"]}),
        ({"seed": 0}, {"seed": 0}),
        ({"n": 1}, None),
        ({"n": 3}, {"candidateCount": 3}),
        ({"logprobs": False}, None),
        ({"logprobs": True}, {"responseLogprobs": True}),
        ({"logprobs": True, "top_logprobs": 0}, {"responseLogprobs": True}),
        ({"logprobs": True, "top_logprobs": 4}, {"responseLogprobs": True, "logprobs": 4}),
        ({"store": True}, None),
    ],
)
def test_a_sampling_field_has_its_place(fields: dict[str, Any], wanted: Any) -> None:
    assert config(**fields) == wanted
    assert http(asking(**fields)).ignored == ()


@pytest.mark.parametrize("seed", [2**31, -1, -(2**63), 2**63 - 1])
def test_a_seed_that_is_too_long_is_shortened_and_always_to_the_same(seed: int) -> None:
    first, second = config(seed=seed)["seed"], config(seed=seed)["seed"]
    assert first == second
    assert 0 <= first < 2**31


@pytest.mark.parametrize(
    ("fields", "name"),
    [
        ({"logit_bias": {"42": -100}}, "logit_bias"),
        ({"parallel_tool_calls": False}, "parallel_tool_calls"),
        ({"user": "u-1"}, "user"),
        ({"prompt_cache_key": "k"}, "prompt_cache_key"),
        ({"metadata": {"a": "b"}}, "metadata"),
        (
            {"chat_template_kwargs": pb.ChatTemplateKwargs(thinking=True)},
            "chat_template_kwargs",
        ),
        ({"reasoning_effort": pb.REASONING_EFFORT_LOW}, "reasoning_effort"),
    ],
)
def test_a_field_without_a_place_is_left_out_and_named(fields: dict[str, Any], name: str) -> None:
    sent = http(asking(**fields))
    assert json.loads(sent.body) == ASKED
    assert sent.ignored == (name,)


def test_parts_of_messages_and_tools_that_have_no_place_are_named_too() -> None:
    named = pb.Message(role=pb.ROLE_USER, name="ann", content=[pb.ContentPart(text="Hi")])
    image = pb.ImageUrl(url="data:image/png;base64,AAAA", detail="low")
    pictured = pb.Message(role=pb.ROLE_USER, content=[pb.ContentPart(image_url=image)])
    request = pb.ChatCompletionRequest(
        messages=[named, pictured], tools=[pb.Tool(name="f", strict=True)]
    )
    assert http(request).ignored == (
        "tools[].function.strict",
        "messages[].name",
        "messages[].content[].image_url.detail",
    )


EVERY_FIELD: dict[str, dict[str, Any]] = {
    "messages": {"messages": [USER]},
    "temperature": {"temperature": 1.0},
    "top_p": {"top_p": 1.0},
    "max_tokens": {"max_tokens": 1},
    "frequency_penalty": {"frequency_penalty": 1.0},
    "presence_penalty": {"presence_penalty": 1.0},
    "stop": {"stop": ["x"]},
    "seed": {"seed": 1},
    "tools": {"tools": [pb.Tool(name="f")]},
    "tool_choice": {
        "tools": [pb.Tool(name="f")],
        "tool_choice": pb.ToolChoice(mode=pb.ToolChoice.MODE_AUTO),
    },
    "parallel_tool_calls": {"parallel_tool_calls": False},
    "response_format": {
        "response_format": pb.ResponseFormat(json_object=pb.ResponseFormat.JsonObject())
    },
    "reasoning_effort": {"reasoning_effort": pb.REASONING_EFFORT_LOW},
    "chat_template_kwargs": {"chat_template_kwargs": pb.ChatTemplateKwargs(thinking=True)},
    "logprobs": {"logprobs": True},
    "top_logprobs": {"logprobs": True, "top_logprobs": 1},
    "logit_bias": {"logit_bias": {"1": 1}},
    "n": {"n": 2},
    "prompt_cache_key": {"prompt_cache_key": "k"},
    "user": {"user": "u"},
    "metadata": {"metadata": {"k": "v"}},
    "service_tier": {"service_tier": "flex"},
}


@pytest.mark.parametrize("dialect", [DEVELOPER, VERTEX], ids=["developer", "vertex"])
@pytest.mark.parametrize("name", pb.ChatCompletionRequest.DESCRIPTOR.fields_by_name)
def test_every_field_is_sent_or_named_and_never_both(name: str, dialect: GeminiDialect) -> None:
    # The path has the first; the others are not for it.
    if name in ("model", "store", "llmbase", "idempotency_key", "last_chunk_sequence"):
        return
    fields = {"messages": [], **EVERY_FIELD[name]}
    without = {key: value for key, value in fields.items() if key != name}
    sent = http(pb.ChatCompletionRequest(**fields), MODEL, dialect)
    changed = json.loads(sent.body) != body(pb.ChatCompletionRequest(**without), MODEL, dialect)
    assert changed != (name in sent.ignored)


def test_parallel_tool_calls_are_what_gemini_does_anyway() -> None:
    assert http(asking(parallel_tool_calls=True)).ignored == ()


@pytest.mark.parametrize(
    ("asked", "sent"),
    [("flex", "flex"), ("priority", "priority"), ("default", "standard"), ("auto", None)],
)
def test_a_service_tier_is_the_developer_apis_own_word(asked: str, sent: str | None) -> None:
    assert body(asking(service_tier=asked)).get("serviceTier") == sent
    assert http(asking(service_tier=asked)).ignored == ()


def test_vertex_has_no_service_tier_in_the_body() -> None:
    sent = http(asking(service_tier="flex"), MODEL, VERTEX)
    assert json.loads(sent.body) == ASKED
    assert sent.ignored == ("service_tier",)


SCHEMA = (
    '{"type": "object", "properties": {"z": {"type":"integer","maximum":18446744073709551617}}}'
)


def test_all_functions_are_declarations_of_one_tool() -> None:
    tools = [
        pb.Tool(name="f", description="Does f.", parameters=SCHEMA),
        pb.Tool(name="g"),
        pb.Tool(name="h", parameters=" { } "),
    ]
    assert body(asking(tools=tools))["tools"] == [
        {
            "functionDeclarations": [
                {
                    "name": "f",
                    "description": "Does f.",
                    "parametersJsonSchema": json.loads(SCHEMA),
                },
                {"name": "g"},
                {"name": "h"},
            ]
        }
    ]


def test_a_schema_goes_out_character_for_character() -> None:
    sent = http(asking(tools=[pb.Tool(name="f", parameters=SCHEMA)])).body
    assert SCHEMA.encode() in sent


@pytest.mark.parametrize(
    ("choice", "wanted"),
    [
        ({"mode": pb.ToolChoice.MODE_AUTO}, {"mode": "AUTO"}),
        ({"mode": pb.ToolChoice.MODE_NONE}, {"mode": "NONE"}),
        ({"mode": pb.ToolChoice.MODE_REQUIRED}, {"mode": "ANY"}),
        ({"function": "f"}, {"mode": "ANY", "allowedFunctionNames": ["f"]}),
    ],
)
def test_a_tool_choice_is_a_mode_of_calling(choice: dict[str, Any], wanted: Any) -> None:
    request = asking(tools=[pb.Tool(name="f")], tool_choice=pb.ToolChoice(**choice))
    assert body(request)["toolConfig"] == {"functionCallingConfig": wanted}


def test_tools_without_a_choice_need_no_mode() -> None:
    assert "toolConfig" not in body(asking(tools=[pb.Tool(name="f")]))


def test_a_choice_without_tools_is_left_out_because_gemini_refuses_it() -> None:
    choice = pb.ToolChoice(mode=pb.ToolChoice.MODE_NONE)
    assert body(asking(tool_choice=choice)) == ASKED


def test_a_json_object_is_a_type_of_answer() -> None:
    form = pb.ResponseFormat(json_object=pb.ResponseFormat.JsonObject())
    assert config(response_format=form) == {"responseMimeType": "application/json"}


def test_a_json_schema_is_the_answers_schema_as_it_was_written() -> None:
    form = pb.ResponseFormat(json_schema=pb.JsonSchema(name="n", schema=SCHEMA, strict=True))
    assert config(response_format=form) == {
        "responseMimeType": "application/json",
        "responseJsonSchema": json.loads(SCHEMA),
    }
    assert SCHEMA.encode() in http(asking(response_format=form)).body


def test_a_named_format_without_a_schema_is_any_json() -> None:
    form = pb.ResponseFormat(json_schema=pb.JsonSchema(name="n"))
    assert config(response_format=form) == {"responseMimeType": "application/json"}


def test_an_extra_body_is_merged_object_by_object_and_the_request_wins() -> None:
    extra = {
        "safetySettings": [{"category": "C", "threshold": "OFF"}],
        "generationConfig": {"topK": 5, "temperature": 1.0, "thinkingConfig": {"x": 1}},
        "contents": "never",
    }
    sent = body(asking(temperature=0.5), MODEL, GeminiDialect(extra_body=extra))
    assert sent == ASKED | {
        "safetySettings": [{"category": "C", "threshold": "OFF"}],
        "generationConfig": {"topK": 5, "temperature": 0.5, "thinkingConfig": {"x": 1}},
    }


def test_an_extra_body_is_there_when_the_request_says_nothing_of_it() -> None:
    sent = body(asking(), MODEL, GeminiDialect(extra_body={"generationConfig": {"topK": 5}}))
    assert sent == ASKED | {"generationConfig": {"topK": 5}}
