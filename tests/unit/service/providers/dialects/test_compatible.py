"""Providers that are rows: what is the same for all, and what each does not take."""

import json

import pytest
from llmbase.v1 import chat_completion_pb2 as pb

from service.config import ProviderConfig
from service.providers.dialects import DIALECTS
from service.providers.dialects.compatible import COMPATIBLE

NAMES = [row.name for row in COMPATIBLE]
USER = pb.Message(role=pb.ROLE_USER, content=[pb.ContentPart(text="Hi")])
CALL = pb.ToolCall(id="call_abc-123", name="f", arguments="{}")


def _everything():
    return pb.ChatCompletionRequest(
        model="public",
        messages=[
            USER,
            pb.Message(role=pb.ROLE_ASSISTANT, tool_calls=[CALL], reasoning_content="hm"),
            pb.Message(role=pb.ROLE_TOOL, tool_call_id=CALL.id, content=[pb.ContentPart(text="4")]),
        ],
        tools=[pb.Tool(name="f", parameters="{}")],
        tool_choice=pb.ToolChoice(mode=pb.ToolChoice.MODE_REQUIRED),
        max_tokens=9,
        seed=7,
        n=2,
        logprobs=True,
        top_logprobs=2,
        logit_bias={"1": 1},
        user="u",
        parallel_tool_calls=False,
        prompt_cache_key="k",
        service_tier="auto",
        frequency_penalty=1,
        presence_penalty=1,
        chat_template_kwargs=pb.ChatTemplateKwargs(thinking=True),
        metadata={"a": "b"},
    )


def _sent(name, request=None, **config):
    dialect = DIALECTS[name].build(ProviderConfig(dialect=name, **config))
    http = dialect.encode(request or _everything(), "theirs", stream=True)
    return json.loads(http.body), http


@pytest.mark.parametrize("name", NAMES)
def test_a_row_and_a_key_are_all_that_a_provider_needs(name):
    row = next(row for row in COMPATIBLE if row.name == name)
    body, http = _sent(name)
    assert http.path == "/chat/completions"
    assert (body["model"], body["stream"]) == ("theirs", True)
    assert row.base_url is None or row.base_url.startswith(("https://", "http://localhost"))
    assert not (row.base_url or "").endswith("/")
    local = (row.base_url or "").startswith("http://localhost")
    assert (row.key_variable is None) == local


@pytest.mark.parametrize("name", NAMES)
def test_what_a_row_does_not_take_is_left_out_and_named(name):
    row = next(row for row in COMPATIBLE if row.name == name)
    body, http = _sent(name)
    assert set(http.ignored) == row.spelling.unsupported | {"metadata"}
    assert not set(http.ignored) & set(body)


def test_mistral_has_its_own_words_and_ids():
    body, _ = _sent("mistral")
    assert body["random_seed"] == 7
    assert body["tool_choice"] == "any"
    assert "stream_options" not in body
    assert "seed" not in body
    called = body["messages"][1]["tool_calls"][0]["id"]
    assert len(called) == 9
    assert called.isalnum()
    assert body["messages"][2]["tool_call_id"] == called
    assert "reasoning_content" not in body["messages"][1]


def test_mistral_is_told_that_an_answer_is_to_be_continued():
    prefix = pb.Message(role=pb.ROLE_ASSISTANT, content=[pb.ContentPart(text="Once")])
    body, _ = _sent("mistral", pb.ChatCompletionRequest(messages=[USER, prefix]))
    assert body["messages"][-1] == {"role": "assistant", "content": "Once", "prefix": True}


def test_mistral_keeps_an_id_that_it_takes():
    message = pb.Message(role=pb.ROLE_ASSISTANT, tool_calls=[pb.ToolCall(id="AbCd12345", name="f")])
    body, _ = _sent("mistral", pb.ChatCompletionRequest(messages=[USER, message]))
    assert body["messages"][1]["tool_calls"][0]["id"] == "AbCd12345"


def _user(**fields):
    return pb.Message(role=pb.ROLE_USER, content=[pb.ContentPart(text="Hi")], **fields)


@pytest.mark.parametrize(("asked", "sent"), [(0.7, 0.7), (1.5, 1.5), (2.0, 1.5)])
def test_mistral_takes_a_temperature_up_to_one_and_a_half(asked, sent):
    request = pb.ChatCompletionRequest(messages=[_user()], temperature=asked)
    body, http = _sent("mistral", request)
    assert body["temperature"] == sent
    assert http.ignored == (("temperature",) if asked > sent else ())


def test_mistral_takes_no_negative_seed_and_always_gets_the_same_for_one():
    request = pb.ChatCompletionRequest(messages=[_user()], seed=-7)
    first, again = (_sent("mistral", request)[0]["random_seed"] for _ in range(2))
    assert first == again >= 0


def test_mistral_knows_users_without_names_and_tools_with():
    request = pb.ChatCompletionRequest(messages=[_user(name="ann")])
    body, http = _sent("mistral", request)
    assert body["messages"] == [{"role": "user", "content": "Hi"}]
    assert http.ignored == ("messages[].name",)
    tool = pb.Message(role=pb.ROLE_TOOL, tool_call_id="AbCd12345", name="f")
    body, http = _sent("mistral", pb.ChatCompletionRequest(messages=[tool]))
    assert body["messages"][0]["name"] == "f"
    assert http.ignored == ()


def test_mistral_hears_of_a_refusal_as_what_was_said():
    part = pb.Message(role=pb.ROLE_ASSISTANT, content=[pb.ContentPart(refusal="No.")])
    request = pb.ChatCompletionRequest(
        messages=[part, pb.Message(role=pb.ROLE_ASSISTANT, refusal="Never."), _user()]
    )
    body, _ = _sent("mistral", request)
    assert body["messages"][:2] == [
        {"role": "assistant", "content": "No."},
        {"role": "assistant", "content": "Never."},
    ]


def test_mistral_is_told_what_a_function_without_parameters_takes():
    request = pb.ChatCompletionRequest(messages=[_user()], tools=[pb.Tool(name="f")])
    (tool,) = _sent("mistral", request)[0]["tools"]
    assert tool["function"]["parameters"] == {"type": "object", "properties": {}}
    (tool,) = _sent("groq", request)[0]["tools"]
    assert "parameters" not in tool["function"]


@pytest.mark.parametrize("name", ["openai", "azure", "mistral"])
def test_what_is_not_openais_is_no_part_of_a_message_where_that_is_refused(name):
    opaque = b'{"reasoning_opaque":"x","extra_content":{"a":1}}\n'
    call = pb.ToolCall(id="AbCd12345", name="f", arguments="{}", provider_state=opaque)
    message = pb.Message(
        role=pb.ROLE_ASSISTANT, tool_calls=[call], provider_state=opaque, reasoning_content="hm"
    )
    request = pb.ChatCompletionRequest(messages=[_user(), message, _user()])
    config = {"base_url": "https://x.openai.azure.com"} if name == "azure" else {}
    sent = _sent(name, request, **config)[0]["messages"][1]
    function = {"name": "f", "arguments": "{}"}
    wanted = {"id": "AbCd12345", "type": "function", "function": function}
    assert sent == {"role": "assistant", "content": None, "tool_calls": [wanted]}
    kept = _sent("openrouter", request)[0]["messages"][1]
    assert kept["reasoning_opaque"] == "x"
    assert kept["tool_calls"][0]["extra_content"] == {"a": 1}


@pytest.mark.parametrize("name", ["openai", "mistral", "vllm"])
def test_no_arguments_go_back_as_an_empty_object(name):
    message = pb.Message(role=pb.ROLE_ASSISTANT, tool_calls=[pb.ToolCall(id="AbCd12345", name="f")])
    body, _ = _sent(name, pb.ChatCompletionRequest(messages=[_user(), message]))
    assert body["messages"][1]["tool_calls"][0]["function"]["arguments"] == "{}"


def test_openrouter_is_asked_for_usage_unless_the_configuration_says_otherwise():
    assert _sent("openrouter")[0]["usage"] == {"include": True}
    assert _sent("openrouter", extra_body={"usage": None})[0]["usage"] is None


def test_reasoning_goes_back_where_the_provider_looks_for_it():
    assert _sent("openrouter")[0]["messages"][1]["reasoning"] == "hm"
    assert _sent("deepseek")[0]["messages"][1]["reasoning_content"] == "hm"
