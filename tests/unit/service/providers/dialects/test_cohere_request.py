from __future__ import annotations

import base64
import json
from typing import Any

import pytest
from llmbase.v1 import chat_completion_pb2 as pb

from service.providers.dialects.cohere import CohereDialect
from tests.support.proto_request import proto_request

DIALECT = CohereDialect()
TOOL = {"type": "function", "function": {"name": "look"}}
OTHER = {"type": "function", "function": {"name": "leap"}}
JSON = {"response_format": {"type": "json_object"}}
STATE = base64.b64encode(b'{"cohere":{"tool_plan":"First I look."}}\n').decode()


def sent(body: dict[str, Any], dialect: CohereDialect = DIALECT) -> dict[str, Any]:
    body = {"messages": [{"role": "user", "content": "Hi"}], **body}
    found: dict[str, Any] = json.loads(
        dialect.encode(proto_request(body), "command", stream=False).body
    )
    return found


def ignored(body: dict[str, Any]) -> tuple[str, ...]:
    body = {"messages": [{"role": "user", "content": "Hi"}], **body}
    return DIALECT.encode(proto_request(body), "command", stream=False).ignored


def messages(*given: dict[str, Any]) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = sent({"messages": list(given)})["messages"]
    return found


def test_a_stream_is_asked_for_or_not() -> None:
    request = proto_request({"messages": [{"role": "user", "content": "Hi"}]})
    for stream, accept in ((True, "text/event-stream"), (False, "application/json")):
        http = DIALECT.encode(request, "command", stream=stream)
        assert json.loads(http.body)["stream"] is stream
        assert (http.path, http.headers, http.ignored) == ("/v2/chat", {"Accept": accept}, ())


def test_sampling_has_coheres_names() -> None:
    body = sent({"top_p": 0.5, "max_tokens": 7, "stop": ["a", "b"], "seed": 3, "temperature": 0})
    del body["messages"], body["model"], body["stream"]
    assert body == {
        "p": 0.5,
        "max_tokens": 7,
        "stop_sequences": ["a", "b"],
        "seed": 3,
        "temperature": 0,
    }


@pytest.mark.parametrize(("wanted", "as_sent"), [(0, 0), (1, 1), (1.01, 1), (2, 1)])
def test_a_temperature_over_the_most_is_the_most_and_is_named(
    wanted: float, as_sent: float
) -> None:
    body = {"temperature": wanted}
    assert sent(body)["temperature"] == as_sent
    assert ignored(body) == (("temperature",) if wanted != as_sent else ())


@pytest.mark.parametrize(("wanted", "as_sent"), [(0, 0.01), (0.5, 0.5), (1, 0.99)])
def test_a_probability_mass_is_kept_off_the_ends(wanted: float, as_sent: float) -> None:
    assert sent({"top_p": wanted})["p"] == as_sent
    assert ignored({"top_p": wanted}) == ()


def test_a_negative_seed_is_still_a_seed() -> None:
    assert sent({"seed": -1})["seed"] == 2**63 - 1


@pytest.mark.parametrize(
    ("frequency", "presence", "as_sent", "names"),
    [
        (0, 0, {}, ()),  # both, even if nothing, would be refused
        (0.5, 0, {"frequency_penalty": 0.5}, ()),
        (0, 0.5, {"presence_penalty": 0.5}, ()),
        (0.5, 0.5, {"frequency_penalty": 0.5}, ("presence_penalty",)),
        (2, 0, {"frequency_penalty": 1}, ("frequency_penalty",)),
        (-1, 0, {}, ("frequency_penalty",)),
        (-1, 0.5, {"presence_penalty": 0.5}, ("frequency_penalty",)),
    ],
)
def test_of_the_penalties_one_is_sent_as_far_as_it_is_taken(
    frequency: float, presence: float, as_sent: dict[str, float], names: tuple[str, ...]
) -> None:
    body = {"frequency_penalty": frequency, "presence_penalty": presence}
    found = {name: value for name, value in sent(body).items() if name.endswith("_penalty")}
    assert (found, ignored(body)) == (as_sent, names)


def test_an_extra_body_is_merged_and_the_request_wins() -> None:
    dialect = CohereDialect(extra_body={"safety_mode": "OFF", "k": 5, "temperature": 1, "p": 0.1})
    body = sent({"temperature": 0.2}, dialect)
    assert [body[name] for name in ("safety_mode", "k", "temperature", "p")] == ["OFF", 5, 0.2, 0.1]


def test_tools_are_functions_with_parameters_even_where_there_are_none() -> None:
    request = proto_request({"messages": [{"role": "user", "content": "Hi"}]})
    schema = '{"type":"object","properties":{"z":{"maximum":12345678901234567890},"a":{}}}'
    request.tools.add(name="leap", description="Leaps.", parameters=schema)
    request.tools.add(name="look")
    body = DIALECT.encode(request, "command", stream=False).body
    assert f'"parameters":{schema}'.encode() in body
    first, second = json.loads(body)["tools"]
    assert (first["type"], first["function"]["description"]) == ("function", "Leaps.")
    empty = {"type": "object", "properties": {}}
    assert second == {"type": "function", "function": {"name": "look", "parameters": empty}}


@pytest.mark.parametrize(
    ("choice", "as_sent"), [("auto", None), ("none", "NONE"), ("required", "REQUIRED")]
)
def test_a_rule_for_tools_has_coheres_word(choice: str, as_sent: str | None) -> None:
    body = {"tools": [TOOL, OTHER], "tool_choice": choice}
    assert sent(body).get("tool_choice") == as_sent
    assert len(sent(body)["tools"]) == 2
    assert ignored(body) == ()


def test_a_named_tool_is_the_only_one_offered_and_a_call_is_demanded() -> None:
    named = {"type": "function", "function": {"name": "leap"}}
    body = {"tools": [TOOL, OTHER], "tool_choice": named}
    assert [tool["function"]["name"] for tool in sent(body)["tools"]] == ["leap"]
    assert sent(body)["tool_choice"] == "REQUIRED"
    assert ignored(body) == ()


@pytest.mark.parametrize(
    ("strict", "as_sent", "names"),
    [
        ([True, True], True, ()),
        ([True, False], None, ("tools[].function.strict",)),
        ([False, False], None, ()),
    ],
)
def test_tools_are_strict_all_together(
    strict: list[bool], as_sent: bool | None, names: tuple[str, ...]
) -> None:
    tools = [{"function": {"name": f"f{i}", "strict": each}} for i, each in enumerate(strict)]
    assert sent({"tools": tools}).get("strict_tools") is as_sent
    assert ignored({"tools": tools}) == names


def test_a_schema_goes_to_the_letter() -> None:
    request = proto_request({"messages": [{"role": "user", "content": "Hi"}]})
    schema = '{"type":"object","properties":{"z":{},"a":{"const":12345678901234567890}}}'
    request.response_format.json_schema.CopyFrom(pb.JsonSchema(name="s", schema=schema))
    body = DIALECT.encode(request, "command", stream=False).body
    assert f'"response_format":{{"type":"json_object","json_schema":{schema}}}'.encode() in body


def test_json_without_a_schema_is_any_json() -> None:
    assert sent(JSON)["response_format"] == {"type": "json_object"}
    unspecific = {"type": "json_schema", "json_schema": {"name": "s"}}
    assert sent({"response_format": unspecific})["response_format"] == {"type": "json_object"}


def test_a_form_beside_tools_that_may_be_called_is_refused_there_so_it_is_left_out() -> None:
    body = {**JSON, "tools": [TOOL]}
    assert "response_format" not in sent(body) and "tools" in sent(body)
    assert ignored(body) == ("response_format",)


def test_tools_that_must_not_be_called_make_way_for_a_form() -> None:
    body = {**JSON, "tools": [TOOL], "tool_choice": "none"}
    assert "response_format" in sent(body)
    assert "tools" not in sent(body) and "tool_choice" not in sent(body)
    assert ignored(body) == ()


@pytest.mark.parametrize(
    ("body", "thinking"),
    [
        ({}, None),
        ({"reasoning_effort": "none"}, {"type": "disabled"}),
        ({"reasoning_effort": "minimal"}, {"type": "enabled", "token_budget": 1024}),
        ({"reasoning_effort": "low"}, {"type": "enabled", "token_budget": 4096}),
        ({"reasoning_effort": "medium"}, {"type": "enabled", "token_budget": 8192}),
        ({"reasoning_effort": "high"}, {"type": "enabled", "token_budget": 16384}),
        ({"reasoning_effort": "xhigh"}, {"type": "enabled"}),
        ({"reasoning_effort": "max"}, {"type": "enabled"}),
        (
            {"reasoning_effort": "high", "max_tokens": 1000},
            {"type": "enabled", "token_budget": 500},
        ),
        ({"reasoning_effort": "low", "max_tokens": 1}, {"type": "enabled", "token_budget": 1}),
        ({"chat_template_kwargs": {"enable_thinking": True}}, {"type": "enabled"}),
        ({"chat_template_kwargs": {"thinking": False}}, {"type": "disabled"}),
    ],
)
def test_effort_is_a_budget_that_leaves_room_for_the_answer(
    body: dict[str, Any], thinking: dict[str, Any] | None
) -> None:
    assert sent(body).get("thinking") == thinking
    assert ignored(body) == ()


def test_log_probabilities_are_asked_for_but_alternatives_are_not_to_be_had() -> None:
    assert sent({"logprobs": True})["logprobs"] is True
    assert ignored({"logprobs": True, "top_logprobs": 0}) == ()
    assert ignored({"logprobs": True, "top_logprobs": 2}) == ("top_logprobs",)
    assert "logprobs" not in sent({"logprobs": False})


def test_system_text_is_the_first_message_and_the_only_one() -> None:
    found = messages(
        {"role": "system", "content": "A"},
        {"role": "user", "content": "Hi"},
        {"role": "developer", "content": "B"},
    )
    texts = [{"type": "text", "text": "A"}, {"type": "text", "text": "B"}]
    assert found == [
        {"role": "system", "content": texts},
        {"role": "user", "content": "Hi"},
    ]


def test_system_text_alone_is_what_there_is_to_answer() -> None:
    assert messages({"role": "system", "content": "A"}) == [{"role": "user", "content": "A"}]


@pytest.mark.parametrize(
    "url", ["https://pictures.example/pear.png", "data:image/png;base64,iVBORw0="]
)
def test_images_are_urls_of_either_kind_with_their_detail(url: str) -> None:
    part = {"type": "image_url", "image_url": {"url": url, "detail": "low"}}
    (found,) = messages({"role": "user", "content": [{"type": "text", "text": "?"}, part]})
    assert found["content"] == [{"type": "text", "text": "?"}, part]
    assert DIALECT.takes_image_urls


def call(call_id: str = "c1", arguments: str = '{"a":1}') -> dict[str, Any]:
    return {"id": call_id, "type": "function", "function": {"name": "f", "arguments": arguments}}


def test_a_turn_that_calls_has_its_plan_back() -> None:
    (found,) = messages({"role": "assistant", "tool_calls": [call()], "provider_state": STATE})
    assert found == {"role": "assistant", "tool_plan": "First I look.", "tool_calls": [call()]}


@pytest.mark.parametrize(
    "state", [b"", b"\xff", b'{"anthropic":{}}\n', b'{"cohere":5}\n', b"[" * 99999]
)
def test_state_of_another_dialect_is_no_plan(state: bytes) -> None:
    opaque = base64.b64encode(state).decode()
    (found,) = messages({"role": "assistant", "tool_calls": [call()], "provider_state": opaque})
    assert "tool_plan" not in found


def test_a_plan_without_calls_stays_behind() -> None:
    (found,) = messages({"role": "assistant", "content": "4", "provider_state": STATE})
    assert found == {"role": "assistant", "content": "4"}


def test_arguments_stay_text_of_an_object() -> None:
    given = [call("c1", '{"z":12345678901234567890123, "a":1.10}'), call("c2", ""), call("c3", "x")]
    (found,) = messages({"role": "assistant", "tool_calls": given})
    texts = [each["function"]["arguments"] for each in found["tool_calls"]]
    assert texts == ['{"z":12345678901234567890123, "a":1.10}', "{}", '{"invalid_arguments":"x"}']


def test_reasoning_goes_back_as_thinking_before_the_text() -> None:
    turn = {"role": "assistant", "reasoning_content": "2+2"}
    said, called = messages({**turn, "content": "4"}, {**turn, "tool_calls": [call()]})
    thought = {"type": "thinking", "thinking": "2+2"}
    assert said["content"] == [thought, {"type": "text", "text": "4"}]
    assert called["content"] == [thought]


def test_a_turn_with_nothing_in_it_is_left_out() -> None:
    found = messages(
        {"role": "user", "content": "Hi"},
        {"role": "assistant", "content": ""},
        {"role": "user", "content": "Still there?"},
    )
    assert [message["role"] for message in found] == ["user", "user"]


def test_refusals_are_text() -> None:
    found = messages(
        {"role": "assistant", "refusal": "No."},
        {"role": "assistant", "content": [{"type": "refusal", "refusal": "Never."}]},
    )
    assert [message["content"] for message in found] == ["No.", "Never."]


def test_a_result_is_text_or_texts() -> None:
    parts = [{"type": "text", "text": "4"}, {"type": "text", "text": "2"}]
    found = messages(
        {"role": "assistant", "tool_calls": [call("c1"), call("c2")]},
        {"role": "tool", "tool_call_id": "c1", "content": "42"},
        {"role": "tool", "tool_call_id": "c2", "content": parts},
    )
    assert found[1:] == [
        {"role": "tool", "tool_call_id": "c1", "content": "42"},
        {"role": "tool", "tool_call_id": "c2", "content": parts},
    ]


def test_ids_that_a_conversation_holds_twice_are_told_apart() -> None:
    result: dict[str, Any] = {"role": "tool", "tool_call_id": "call_0", "content": "42"}
    turn: dict[str, Any] = {"role": "assistant", "tool_calls": [call("call_0")]}
    found = messages(turn, result, turn, result)
    first, second = (found[i]["tool_calls"][0]["id"] for i in (0, 2))
    assert first == "call_0" != second
    assert [found[i]["tool_call_id"] for i in (1, 3)] == [first, second]


@pytest.mark.parametrize(
    ("body", "names"),
    [
        ({"n": 2}, ("n",)),
        ({"logit_bias": {"5": 1}}, ("logit_bias",)),
        ({"parallel_tool_calls": False}, ("parallel_tool_calls",)),
        ({"prompt_cache_key": "k"}, ("prompt_cache_key",)),
        ({"user": "u"}, ("user",)),
        ({"metadata": {"a": "b"}}, ("metadata",)),
        ({"service_tier": "flex"}, ("service_tier",)),
        ({"service_tier": "default", "store": True, "n": 1}, ()),
        ({"chat_template_kwargs": {"preserve_thinking": True}}, ("chat_template_kwargs",)),
        ({"messages": [{"role": "user", "content": "Hi", "name": "Ann"}]}, ("messages[].name",)),
    ],
)
def test_what_has_no_equal_is_named_and_fails_nothing(
    body: dict[str, Any], names: tuple[str, ...]
) -> None:
    assert ignored(body) == names
