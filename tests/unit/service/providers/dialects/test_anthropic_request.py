"""What the Messages API is sent for each field of a request, and what is named as ignored."""

from __future__ import annotations

import json
from hashlib import blake2s
from typing import Any

import pytest

from service.providers.dialects.answer_tool import ANSWER_TOOL
from service.providers.dialects.anthropic import AnthropicDialect
from service.providers.dialects.dialect import HttpRequest
from tests.support.proto_request import proto_request

HELLO = [{"role": "user", "content": "Hello"}]
OLD, NEW = "claude-sonnet-4-5", "claude-opus-4-8"
OLDER = "claude-sonnet-4-20250514"  # its text cannot be held to a schema
FORM: dict[str, Any] = {
    "type": "json_schema",
    "json_schema": {
        "name": "point",
        "description": "A point.",
        "schema": {"properties": {"x": {"type": "integer", "minimum": 1}}},
        "strict": True,
    },
}
TOOL: dict[str, Any] = {
    "type": "function",
    "function": {
        "name": "look",
        "description": "Looks.",
        "parameters": {"type": "object", "properties": {"at": {"type": "string"}}},
    },
}


def encoded(
    fields: dict[str, Any], model: str = OLD, *, stream: bool = False, **options: Any
) -> HttpRequest:
    request = proto_request({"model": "m", "messages": HELLO, **fields})
    return AnthropicDialect(**options).encode(request, model, stream=stream)


def body(fields: dict[str, Any], model: str = OLD, **options: Any) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(encoded(fields, model, **options).body)
    return found


def ignored(fields: dict[str, Any], model: str = OLD) -> tuple[str, ...]:
    return encoded(fields, model).ignored


def test_the_least_request_is_a_model_a_limit_and_a_turn() -> None:
    http = encoded({})
    assert http.path == "/v1/messages"
    assert http.headers == {"Accept": "application/json", "anthropic-version": "2023-06-01"}
    assert http.ignored == ()
    assert json.loads(http.body) == {
        "model": OLD,
        "max_tokens": 4096,
        "messages": [{"role": "user", "content": [{"type": "text", "text": "Hello"}]}],
    }


def test_a_stream_is_asked_for_in_the_body() -> None:
    http = encoded({}, stream=True)
    assert http.headers["Accept"] == "text/event-stream"
    assert json.loads(http.body)["stream"] is True


def test_the_limit_is_the_callers_or_the_configured_default() -> None:
    assert body({"max_tokens": 7})["max_tokens"] == 7
    assert body({}, default_max_tokens=9)["max_tokens"] == 9
    assert body({"max_tokens": 7}, default_max_tokens=9)["max_tokens"] == 7


def test_the_requests_own_fields_win_over_the_extra_body_which_wins_over_defaults() -> None:
    extra = {"max_tokens": 5, "temperature": 0.1, "cache_control": {"type": "ephemeral"}}
    found = body({"temperature": 0.5}, extra_body=extra)
    assert (found["max_tokens"], found["temperature"]) == (5, 0.5)
    assert found["cache_control"] == {"type": "ephemeral"}
    assert body({"max_tokens": 7}, extra_body=extra)["max_tokens"] == 7


@pytest.mark.parametrize(
    ("given", "sent", "named"), [(0, 0, ()), (0.7, 0.7, ()), (1, 1, ()), (1.5, 1, ("temperature",))]
)
def test_a_temperature_is_at_most_one(given: float, sent: float, named: tuple[str, ...]) -> None:
    assert body({"temperature": given})["temperature"] == sent
    assert ignored({"temperature": given}) == named


@pytest.mark.parametrize("field", ["temperature", "top_p"])
def test_newer_models_are_sent_no_sampling_at_all(field: str) -> None:
    assert field not in body({field: 0.5}, NEW)
    assert ignored({field: 0.5}, NEW) == (field,)


@pytest.mark.parametrize("field", ["temperature", "top_p"])
def test_what_is_the_default_anyway_is_left_out_without_a_word(field: str) -> None:
    assert field not in body({field: 1}, NEW)
    assert ignored({field: 1}, NEW) == ()


def test_of_both_samplings_a_model_that_takes_one_is_sent_the_temperature() -> None:
    both = {"temperature": 0.5, "top_p": 0.9}
    assert "top_p" not in body(both, OLD)
    assert ignored(both, OLD) == ("top_p",)
    assert body({"top_p": 0.9}, OLD)["top_p"] == 0.9
    assert body(both, "another-server's-model")["top_p"] == 0.9


def test_beside_thinking_only_harmless_sampling_is_sent() -> None:
    thinking = {"reasoning_effort": "low"}
    found = encoded({**thinking, "temperature": 0.5, "top_p": 0.94})
    assert not {"temperature", "top_p"} & set(json.loads(found.body))
    assert found.ignored == ("temperature", "top_p")
    found = encoded({**thinking, "temperature": 1, "top_p": 0.95})
    assert json.loads(found.body)["top_p"] == 0.95
    assert found.ignored == ()


def test_blank_stop_sequences_are_left_out_and_named() -> None:
    assert body({"stop": ["a", "\n", " b"]})["stop_sequences"] == ["a", " b"]
    assert ignored({"stop": ["a", "\n"]}) == ("stop",)
    assert ignored({"stop": ["a"]}) == ()
    assert "stop_sequences" not in body({"stop": "\n\n"})


@pytest.mark.parametrize(
    "fields",
    [
        {"seed": 0},
        {"frequency_penalty": 0.1},
        {"presence_penalty": -0.1},
        {"n": 2},
        {"logprobs": True},
        {"logit_bias": {"1": 1}},
        {"prompt_cache_key": "k"},
        {"metadata": {"a": "b"}},
        {"chat_template_kwargs": {"enable_thinking": True}},
        {"service_tier": "flex"},
    ],
    ids=lambda fields: next(iter(fields)),
)
def test_a_field_without_an_equal_is_left_out_and_named(fields: dict[str, Any]) -> None:
    found = encoded(fields)
    assert found.ignored == tuple(fields)
    assert json.loads(found.body) == body({})


@pytest.mark.parametrize(
    "fields",
    [
        {"frequency_penalty": 0, "presence_penalty": 0},
        {"n": 1},
        {"logprobs": False},
        {"store": True},
        {"parallel_tool_calls": False},
        {"tool_choice": "auto"},
        {"tools": [], "tool_choice": "none"},
    ],
    ids=lambda fields: next(iter(fields)),
)
def test_a_field_that_asks_for_nothing_is_left_out_without_a_word(fields: dict[str, Any]) -> None:
    found = encoded(fields)
    assert found.ignored == ()
    assert json.loads(found.body) == body({})


def test_what_a_message_says_beyond_its_content_is_named_once() -> None:
    image = {"url": "https://x/y.png", "detail": "low"}
    messages = [
        {"role": "user", "name": "ann", "content": "a"},
        {"role": "user", "name": "bob", "content": [{"type": "image_url", "image_url": image}]},
    ]
    assert ignored({"messages": messages}) == (
        "messages[].name",
        "messages[].content[].image_url.detail",
    )


@pytest.mark.parametrize("user", ["u-123", "a" * 256, "8c2f1f3e-0c7b-4d5e-9a57-1f2e3d4c5b6a"])
def test_an_opaque_user_is_sent_as_it_is(user: str) -> None:
    assert body({"user": user})["metadata"] == {"user_id": user}


@pytest.mark.parametrize("user", ["ann@example.com", "+49 30 1234567", "5551234567", "a" * 257])
def test_a_user_that_could_be_somebody_is_sent_as_a_hash(user: str) -> None:
    hashed = blake2s(user.encode()).hexdigest()
    assert body({"user": user})["metadata"] == {"user_id": hashed}


@pytest.mark.parametrize(
    ("given", "sent"),
    [
        ("auto", "auto"),
        ("priority", "auto"),
        ("default", "standard_only"),
        ("standard_only", "standard_only"),
    ],
)
def test_service_tiers_of_both_languages_are_understood(given: str, sent: str) -> None:
    assert body({"service_tier": given})["service_tier"] == sent


def test_a_tool_is_a_name_a_description_and_a_schema_to_the_letter() -> None:
    parameters = '{"type":"object", "properties": {"b":{"maximum":12345678901234567890123},"a":{}}}'
    request = proto_request({"messages": HELLO, "tools": [TOOL]})
    request.tools[0].parameters = parameters
    sent = AnthropicDialect().encode(request, OLD, stream=False).body
    assert parameters.encode() in sent
    (tool,) = json.loads(sent)["tools"]
    assert tool["name"] == "look" and tool["description"] == "Looks."


@pytest.mark.parametrize("parameters", [None, {}])
def test_a_tool_without_parameters_takes_an_object(parameters: Any) -> None:
    function = (
        {"name": "look"} if parameters is None else {"name": "look", "parameters": parameters}
    )
    (tool,) = body({"tools": [{"type": "function", "function": function}]})["tools"]
    assert tool == {"name": "look", "input_schema": {"type": "object"}}


@pytest.mark.parametrize(
    ("given", "sent"),
    [
        ("auto", {"type": "auto"}),
        ("none", {"type": "none"}),
        ("required", {"type": "any"}),
        ({"type": "function", "function": {"name": "look"}}, {"type": "tool", "name": "look"}),
    ],
)
def test_a_tool_choice_is_said_in_their_words(given: Any, sent: dict[str, str]) -> None:
    assert body({"tools": [TOOL], "tool_choice": given})["tool_choice"] == sent
    one = {"tools": [TOOL], "tool_choice": given, "parallel_tool_calls": False}
    flag = {} if given == "none" else {"disable_parallel_tool_use": True}
    assert body(one)["tool_choice"] == {**sent, **flag}


def test_one_call_at_a_time_is_said_in_a_tool_choice_also_where_there_is_none() -> None:
    sent = body({"tools": [TOOL], "parallel_tool_calls": False})["tool_choice"]
    assert sent == {"type": "auto", "disable_parallel_tool_use": True}
    assert "tool_choice" not in body({"tools": [TOOL], "parallel_tool_calls": True})


@pytest.mark.parametrize("choice", ["required", {"type": "function", "function": {"name": "look"}}])
def test_a_model_that_takes_no_demand_is_left_to_decide_and_it_is_named(choice: Any) -> None:
    fields = {"tools": [TOOL], "tool_choice": choice}
    assert body(fields, "claude-opus-5-5")["tool_choice"] == {"type": "auto"}
    assert ignored(fields, "claude-opus-5-5") == ("tool_choice",)
    assert ignored(fields, "claude-opus-5") == ()


def test_calls_in_a_conversation_without_tools_are_declared_and_forbidden() -> None:
    call = {"id": "c1", "type": "function", "function": {"name": "look", "arguments": "{}"}}
    messages = [
        *HELLO,
        {"role": "assistant", "content": None, "tool_calls": [call]},
        {"role": "tool", "tool_call_id": "c1", "content": "seen"},
    ]
    found = body({"messages": messages})
    assert found["tools"] == [{"name": "look", "input_schema": {"type": "object"}}]
    assert found["tool_choice"] == {"type": "none"}


def test_a_json_schema_is_the_providers_own_structured_output() -> None:
    schema = {"type": "object", "properties": {"a": {"type": "string"}}}
    form = {"type": "json_schema", "json_schema": {"name": "x", "schema": schema, "strict": True}}
    found = encoded({"response_format": form})
    closed = {**schema, "additionalProperties": False}
    sent = json.loads(found.body)["output_config"]
    assert sent == {"format": {"type": "json_schema", "schema": closed}}
    assert found.ignored == ()


@pytest.mark.parametrize("strict", [True, False])
def test_a_strict_schema_that_cannot_be_wholly_enforced_is_named(strict: bool) -> None:
    schema = {"type": "object", "properties": {"a": {"type": "integer", "minimum": 1}}}
    form = {"type": "json_schema", "json_schema": {"name": "x", "schema": schema, "strict": strict}}
    named = ("response_format.json_schema.strict",) if strict else ()
    assert ignored({"response_format": form}) == named
    function = {"name": "look", "parameters": schema, "strict": strict}
    tools = {"tools": [{"type": "function", "function": function}]}
    assert ignored(tools) == (("tools[].function.strict",) if strict else ())
    (tool,) = body(tools)["tools"]
    assert ("strict" in tool) == strict
    assert ("minimum" in tool["input_schema"]["properties"]["a"]) != strict


@pytest.mark.parametrize(
    "form", [{"type": "json_object"}, {"type": "json_schema", "json_schema": {"name": "x"}}]
)
def test_json_of_any_shape_is_asked_for_in_words_and_named(form: Any) -> None:
    messages = [{"role": "system", "content": "Be brief."}, *HELLO]
    found = encoded({"messages": messages, "response_format": form})
    system = [block["text"] for block in json.loads(found.body)["system"]]
    assert system[0] == "Be brief." and "JSON object" in system[1] and len(system) == 2
    assert found.ignored == ("response_format",)
    assert "output_config" not in json.loads(found.body)


def test_a_model_that_takes_no_schema_has_to_answer_by_a_call() -> None:
    found = encoded({"response_format": FORM}, OLDER)
    sent = json.loads(found.body)
    (tool,) = sent["tools"]
    assert (tool["name"], tool["description"]) == (ANSWER_TOOL, "A point.")
    assert tool["input_schema"] == {"type": "object", **FORM["json_schema"]["schema"]}
    named = {"type": "tool", "name": ANSWER_TOOL, "disable_parallel_tool_use": True}
    assert sent["tool_choice"] == named
    assert "output_config" not in sent
    assert found.ignored == ()


@pytest.mark.parametrize("choice", [None, "auto", "required"])
def test_a_model_that_answers_by_a_call_may_call_the_callers_tools_instead(choice: Any) -> None:
    fields = {"response_format": FORM, "tools": [TOOL], "tool_choice": choice}
    sent = body(fields, OLDER)
    assert [tool["name"] for tool in sent["tools"]] == ["look", ANSWER_TOOL]
    assert sent["tool_choice"] == {"type": "any"}
    one = body({**fields, "parallel_tool_calls": False}, OLDER)["tool_choice"]
    assert one == {"type": "any", "disable_parallel_tool_use": True}


def test_a_model_that_answers_by_a_call_is_not_shown_tools_it_must_not_call() -> None:
    sent = body({"response_format": FORM, "tools": [TOOL], "tool_choice": "none"}, OLDER)
    assert [tool["name"] for tool in sent["tools"]] == [ANSWER_TOOL]


def test_a_demanded_call_comes_before_the_form_of_an_answer() -> None:
    choice = {"type": "function", "function": {"name": "look"}}
    found = encoded({"response_format": FORM, "tools": [TOOL], "tool_choice": choice}, OLDER)
    sent = json.loads(found.body)
    assert [tool["name"] for tool in sent["tools"]] == ["look"]
    assert sent["tool_choice"] == {"type": "tool", "name": "look"}
    assert found.ignored == ("response_format",)


def test_a_model_that_must_answer_by_a_call_does_not_think_by_budget() -> None:
    found = encoded({"response_format": FORM, "reasoning_effort": "low"}, OLDER)
    assert "thinking" not in json.loads(found.body)
    assert found.ignored == ("reasoning_effort",)


def test_a_model_that_takes_no_schema_takes_no_strict_tools() -> None:
    strict = {**TOOL, "function": {**TOOL["function"], "strict": True}}
    assert "strict" not in body({"tools": [strict]}, OLDER)["tools"][0]
    assert ignored({"tools": [strict]}, OLDER) == ("tools[].function.strict",)
