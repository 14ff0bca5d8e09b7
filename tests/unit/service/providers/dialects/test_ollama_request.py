from __future__ import annotations

import base64
import json
from typing import Any

import pytest
from llmbase.v1 import chat_completion_pb2 as pb

from service.errors import InvalidRequest
from service.providers.dialects.ollama import OllamaDialect
from tests.support.proto_request import proto_request

DIALECT = OllamaDialect()
PIXEL = base64.b64encode(b"\x89PNG\r\n").decode()
TOOL = {"type": "function", "function": {"name": "look"}}
OTHER = {"type": "function", "function": {"name": "leap"}}


def sent(
    body: dict[str, Any], model: str = "qwen3", dialect: OllamaDialect = DIALECT
) -> dict[str, Any]:
    body = {"messages": [{"role": "user", "content": "Hi"}], **body}
    http = dialect.encode(proto_request(body), model, stream=True)
    found: dict[str, Any] = json.loads(http.body)
    return found


def ignored(body: dict[str, Any], model: str = "qwen3") -> tuple[str, ...]:
    body = {"messages": [{"role": "user", "content": "Hi"}], **body}
    return DIALECT.encode(proto_request(body), model, stream=True).ignored


def messages(*given: dict[str, Any]) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = sent({"messages": list(given)})["messages"]
    return found


def test_a_stream_is_asked_for_or_not_but_never_left_to_the_default() -> None:
    request = proto_request({"messages": [{"role": "user", "content": "Hi"}]})
    for stream, accept in ((True, "application/x-ndjson"), (False, "application/json")):
        http = DIALECT.encode(request, "qwen3", stream=stream)
        assert json.loads(http.body)["stream"] is stream
        assert (http.path, http.headers, http.ignored) == ("/api/chat", {"Accept": accept}, ())


def test_sampling_goes_into_the_options_under_ollamas_names() -> None:
    body = {
        "temperature": 0,
        "top_p": 0.5,
        "max_tokens": 7,
        "stop": "END",
        "seed": 3,
        "frequency_penalty": -2,
        "presence_penalty": 1.5,
    }
    assert sent(body)["options"] == {
        "temperature": 0,
        "top_p": 0.5,
        "num_predict": 7,
        "stop": ["END"],
        "seed": 3,
        "frequency_penalty": -2,
        "presence_penalty": 1.5,
    }
    assert "options" not in sent({})


@pytest.mark.parametrize(("seed", "as_sent"), [(-1, 2**31 - 1), (2**63 - 1, 2**31 - 1), (0, 0)])
def test_no_seed_means_a_random_one(seed: int, as_sent: int) -> None:
    assert sent({"seed": seed})["options"]["seed"] == as_sent


def test_a_conversation_is_never_shortened_in_silence() -> None:
    body = sent({})
    assert (body["truncate"], body["shift"]) == (False, False)


def test_the_configuration_may_have_it_shortened() -> None:
    dialect = OllamaDialect(extra_body={"truncate": True})
    assert sent({}, dialect=dialect)["truncate"] is True


def test_the_length_of_the_context_is_a_setting_of_the_dialect() -> None:
    assert sent({}, dialect=OllamaDialect(num_ctx=8192))["options"] == {"num_ctx": 8192}
    assert "options" not in sent({})


def test_an_extra_body_is_merged_with_its_options_and_the_request_wins() -> None:
    extra = {"keep_alive": "1h", "model": "no", "options": {"top_k": 5, "temperature": 1}}
    body = sent({"temperature": 0.5}, dialect=OllamaDialect(num_ctx=100, extra_body=extra))
    assert body["options"] == {"num_ctx": 100, "top_k": 5, "temperature": 0.5}
    assert (body["keep_alive"], body["model"]) == ("1h", "qwen3")


@pytest.mark.parametrize(
    ("effort", "switch", "level"),
    [
        ("none", False, "low"),
        ("minimal", True, "low"),
        ("low", True, "low"),
        ("medium", True, "medium"),
        ("high", True, "high"),
        ("xhigh", True, "high"),
        ("max", True, "high"),
    ],
)
def test_effort_is_a_switch_and_a_level_only_to_models_that_take_levels(
    effort: str, switch: bool, level: str
) -> None:
    body = {"reasoning_effort": effort}
    assert sent(body)["think"] is switch
    assert sent(body, "gpt-oss:120b-cloud")["think"] == level


def test_without_a_word_on_thinking_the_model_does_as_it_likes() -> None:
    assert "think" not in sent({})
    assert "think" not in sent({}, "gpt-oss:20b")


@pytest.mark.parametrize("name", ["enable_thinking", "thinking"])
@pytest.mark.parametrize("on", [True, False])
def test_a_switch_of_the_chat_template_is_the_same_switch(name: str, on: bool) -> None:
    body = {"chat_template_kwargs": {name: on}}
    assert sent(body)["think"] is on
    assert sent(body, "gpt-oss:20b")["think"] == ("medium" if on else "low")
    assert ignored(body) == ()
    assert sent({**body, "reasoning_effort": "low"})["think"] is True


def test_what_cannot_be_turned_off_is_named() -> None:
    assert ignored({"reasoning_effort": "none"}, "gpt-oss:20b") == ("reasoning_effort",)
    switches = {"chat_template_kwargs": {"enable_thinking": False}}
    assert ignored(switches, "gpt-oss:20b") == ("chat_template_kwargs",)
    assert ignored({"reasoning_effort": "high"}, "gpt-oss:20b") == ()


def test_a_schema_goes_to_the_letter_as_the_format() -> None:
    request = proto_request({"messages": [{"role": "user", "content": "Hi"}]})
    schema = '{"type":"object","properties":{"z":{"maximum":12345678901234567890},"a":{}}}'
    request.response_format.json_schema.CopyFrom(pb.JsonSchema(name="s", schema=schema))
    assert f'"format":{schema}'.encode() in DIALECT.encode(request, "m", stream=False).body


def test_json_without_a_schema_is_the_word_json() -> None:
    assert sent({"response_format": {"type": "json_object"}})["format"] == "json"
    unspecific = {"type": "json_schema", "json_schema": {"name": "s"}}
    assert sent({"response_format": unspecific})["format"] == "json"
    assert "format" not in sent({})


def test_tools_are_functions_with_parameters_even_where_there_are_none() -> None:
    schema = {"type": "object", "properties": {"at": {"type": "string"}}}
    full = {"name": "leap", "description": "Leaps.", "parameters": schema}
    body = {"tools": [TOOL, {"type": "function", "function": full}]}
    none = {"type": "object", "properties": {}}
    assert sent(body)["tools"] == [
        {"type": "function", "function": {"name": "look", "parameters": none}},
        {"type": "function", "function": full},
    ]
    assert ignored(body) == ()


def test_tools_that_must_not_be_called_are_not_offered() -> None:
    body = {"tools": [TOOL], "tool_choice": "none"}
    assert "tools" not in sent(body)
    assert ignored(body) == ()


def test_a_call_cannot_be_demanded_but_other_tools_can_be_kept_away() -> None:
    named = {"type": "function", "function": {"name": "leap"}}
    body = {"tools": [TOOL, OTHER], "tool_choice": named}
    assert [tool["function"]["name"] for tool in sent(body)["tools"]] == ["leap"]
    assert ignored(body) == ("tool_choice",)
    body = {"tools": [TOOL, OTHER], "tool_choice": "required"}
    assert len(sent(body)["tools"]) == 2
    assert ignored(body) == ("tool_choice",)


def test_log_probabilities_are_asked_for() -> None:
    body = sent({"logprobs": True, "top_logprobs": 3})
    assert (body["logprobs"], body["top_logprobs"]) == (True, 3)
    body = sent({"logprobs": True, "top_logprobs": 0})
    assert body["logprobs"] is True and "top_logprobs" not in body
    assert "logprobs" not in sent({"logprobs": False})


def test_arguments_go_as_an_object_with_their_digits_and_their_order() -> None:
    arguments = '{"z":12345678901234567890123,"a":1.10}'
    message = pb.Message(role=pb.ROLE_ASSISTANT)
    message.tool_calls.add(id="c1", name="look", arguments=arguments)
    message.tool_calls.add(id="c2", name="look", arguments="")
    message.tool_calls.add(id="c3", name="look", arguments="{broken")
    request = pb.ChatCompletionRequest(messages=[message])
    body = DIALECT.encode(request, "m", stream=False).body
    assert f'"arguments":{arguments}'.encode() in body
    calls = json.loads(body)["messages"][0]["tool_calls"]
    assert [call["id"] for call in calls] == ["c1", "c2", "c3"]
    assert [call["function"]["index"] for call in calls] == [0, 1, 2]
    assert calls[1]["function"]["arguments"] == {}
    assert calls[2]["function"]["arguments"] == {"invalid_arguments": "{broken"}


def call(call_id: str, name: str) -> dict[str, Any]:
    function = {"name": name, "arguments": "{}"}
    return {"role": "assistant", "tool_calls": [{"id": call_id, "function": function}]}


def result(call_id: str, **more: Any) -> dict[str, Any]:
    return {"role": "tool", "tool_call_id": call_id, "content": "42", **more}


def test_a_result_names_its_tool_by_the_latest_call_of_that_id() -> None:
    found = messages(call("c", "look"), result("c"), call("c", "leap"), result("c"))
    assert found[1] == {"role": "tool", "content": "42", "tool_call_id": "c", "tool_name": "look"}
    assert found[3]["tool_name"] == "leap"


def test_a_result_of_an_unknown_call_has_the_name_that_the_caller_gives_it() -> None:
    unnamed, named = messages(result("x"), result("y", name="look"))
    assert "tool_name" not in unnamed
    assert named["tool_name"] == "look"


def test_images_are_bare_base64_beside_the_text() -> None:
    parts = [
        {"type": "text", "text": "Two "},
        {"type": "image_url", "image_url": {"url": f"data:image/png;base64,{PIXEL}"}},
        {"type": "text", "text": "pictures"},
        {"type": "image_url", "image_url": {"url": f"data:image/jpeg;base64,{PIXEL}"}},
    ]
    assert messages({"role": "user", "content": parts}) == [
        {"role": "user", "content": "Two pictures", "images": [PIXEL, PIXEL]}
    ]


@pytest.mark.parametrize(
    "url",
    [
        "https://pictures.example/pear.png",
        "data:image/png,plain",
        "data:image/png;base64,!!!",
        "data:text/plain;base64,aGk=",
    ],
)
def test_an_image_that_does_not_come_in_bytes_is_refused_by_its_place(url: str) -> None:
    parts = [{"type": "text", "text": "?"}, {"type": "image_url", "image_url": {"url": url}}]
    with pytest.raises(InvalidRequest) as caught:
        messages({"role": "system", "content": "x"}, {"role": "user", "content": parts})
    assert caught.value.violations[0].field == "messages[1].content[1].image_url.url"
    assert not DIALECT.takes_image_urls


def test_developer_text_is_system_text_and_refusals_are_text() -> None:
    found = messages(
        {"role": "developer", "content": "Be brief."},
        {"role": "assistant", "refusal": "No."},
        {"role": "assistant", "content": [{"type": "refusal", "refusal": "Never."}]},
    )
    assert found == [
        {"role": "system", "content": "Be brief."},
        {"role": "assistant", "content": "No."},
        {"role": "assistant", "content": "Never."},
    ]


def test_reasoning_goes_back_as_thinking() -> None:
    (found,) = messages({"role": "assistant", "content": "4", "reasoning_content": "2+2"})
    assert found == {"role": "assistant", "content": "4", "thinking": "2+2"}


@pytest.mark.parametrize(
    ("body", "names"),
    [
        ({"n": 2}, ("n",)),
        ({"n": 1}, ()),
        ({"logit_bias": {"5": 1}}, ("logit_bias",)),
        ({"parallel_tool_calls": False}, ("parallel_tool_calls",)),
        ({"parallel_tool_calls": True}, ()),
        ({"prompt_cache_key": "k"}, ("prompt_cache_key",)),
        ({"user": "u"}, ("user",)),
        ({"metadata": {"a": "b"}}, ("metadata",)),
        ({"service_tier": "flex"}, ("service_tier",)),
        ({"service_tier": "auto"}, ()),
        ({"store": True}, ()),
        ({"chat_template_kwargs": {"preserve_thinking": True}}, ("chat_template_kwargs",)),
        ({"tools": [{"function": {"name": "f", "strict": True}}]}, ("tools[].function.strict",)),
        ({"messages": [{"role": "user", "content": "Hi", "name": "Ann"}]}, ("messages[].name",)),
        ({"messages": [result("c", name="look")]}, ()),
    ],
)
def test_what_has_no_equal_is_named_and_fails_nothing(
    body: dict[str, Any], names: tuple[str, ...]
) -> None:
    assert ignored(body) == names


@pytest.mark.parametrize(("detail", "is_named"), [("auto", False), ("low", True), ("high", True)])
def test_how_closely_to_look_cannot_be_said(detail: str, is_named: bool) -> None:
    image = {"url": f"data:image/png;base64,{PIXEL}", "detail": detail}
    content = [{"type": "image_url", "image_url": image}]
    found = ignored({"messages": [{"role": "user", "content": content}]})
    assert found == (("messages[].content[].image_url.detail",) if is_named else ())
