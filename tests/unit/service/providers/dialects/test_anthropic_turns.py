"""A conversation as the Messages API's turns."""

from __future__ import annotations

import json
import re
from typing import Any

import pytest
from llmbase.v1 import chat_completion_pb2 as pb

from service.errors import InvalidRequest
from service.providers.dialects.anthropic import AnthropicDialect
from tests.support.proto_request import proto_request

PNG = "iVBORw0KGgo="


def body(*messages: dict[str, Any], model: str = "claude-opus-4-8") -> dict[str, Any]:
    request = proto_request({"model": "m", "messages": list(messages)})
    sent = AnthropicDialect().encode(request, model, stream=False).body
    found: dict[str, Any] = json.loads(sent)
    return found


def turns(*messages: dict[str, Any], model: str = "claude-opus-4-8") -> list[tuple[str, list[Any]]]:
    return [(turn["role"], turn["content"]) for turn in body(*messages, model=model)["messages"]]


def said(text: str) -> dict[str, str]:
    return {"type": "text", "text": text}


def user(content: Any) -> dict[str, Any]:
    return {"role": "user", "content": content}


def assistant(content: Any = None, *calls: dict[str, Any], **more: Any) -> dict[str, Any]:
    found = {"role": "assistant", "content": content, **more}
    return {**found, "tool_calls": list(calls)} if calls else found


def call(call_id: str, arguments: str = "{}", name: str = "look") -> dict[str, Any]:
    return {"id": call_id, "type": "function", "function": {"name": name, "arguments": arguments}}


def result(call_id: str, content: Any = "seen") -> dict[str, Any]:
    return {"role": "tool", "tool_call_id": call_id, "content": content}


def test_system_and_developer_text_leaves_the_list_in_order_wherever_it_stands() -> None:
    found = body(
        {"role": "system", "content": "one"},
        user("a"),
        {"role": "developer", "content": [said("two"), said("!")]},
        user("b"),
    )
    assert found["system"] == [said("one"), said("two!")]
    assert found["messages"] == [{"role": "user", "content": [said("a"), said("b")]}]


def test_a_conversation_of_nothing_but_instructions_says_them_as_the_user() -> None:
    found = body({"role": "system", "content": "Say hello."})
    assert found["messages"] == [{"role": "user", "content": [said("Say hello.")]}]
    assert "system" not in found


def test_neighbours_of_one_side_become_one_turn() -> None:
    assert turns(user("a"), user("b"), assistant("c"), assistant("d"), user("e")) == [
        ("user", [said("a"), said("b")]),
        ("assistant", [said("c"), said("d")]),
        ("user", [said("e")]),
    ]


def test_all_results_are_the_beginning_of_one_user_turn() -> None:
    found = turns(
        user("a"),
        assistant("b", call("c1"), call("c2", '{"at":"x"}')),
        result("c1", "one"),
        user("and?"),
        result("c2", [said("two"), said("three")]),
    )
    assert found[1] == (
        "assistant",
        [
            said("b"),
            {"type": "tool_use", "id": "c1", "name": "look", "input": {}},
            {"type": "tool_use", "id": "c2", "name": "look", "input": {"at": "x"}},
        ],
    )
    assert found[2] == (
        "user",
        [
            {"type": "tool_result", "tool_use_id": "c1", "content": [said("one")]},
            {
                "type": "tool_result",
                "tool_use_id": "c2",
                "content": [said("two"), said("three")],
            },
            said("and?"),
        ],
    )


def test_blank_text_is_left_out_and_a_turn_of_nothing_else_with_it() -> None:
    found = turns(user("a"), assistant(" \n"), user([said(""), said("b")]))
    assert found == [("user", [said("a"), said("b")])]
    blank = turns(user("a"), assistant(None, call("c1")), result("c1", ""))
    assert blank[2] == ("user", [{"type": "tool_result", "tool_use_id": "c1"}])


def test_an_earlier_refusal_is_what_the_assistant_said() -> None:
    assert turns(user("a"), assistant(None, refusal="No."), user("b"))[1][1] == [said("No.")]
    part = {"type": "refusal", "refusal": "No."}
    assert turns(user("a"), assistant([part]), user("b"))[1][1] == [said("No.")]


def test_reasoning_in_clear_text_stays_behind() -> None:
    found = turns(user("a"), assistant("b", reasoning_content="hm"), user("c"))
    assert found[1] == ("assistant", [said("b")])


def test_an_answer_to_be_gone_on_with_does_not_end_in_white_space() -> None:
    older = "claude-sonnet-4-5"
    begun = turns(user("a"), assistant("b \n"), model=older)
    assert begun[-1] == ("assistant", [said("b")])
    answered = turns(user("a"), assistant("b \n"), user("c"), model=older)
    assert answered[1] == ("assistant", [said("b \n")])


@pytest.mark.parametrize("model", ["claude-opus-4-6", "claude-sonnet-4-6", "claude-opus-5"])
def test_a_model_that_goes_on_with_no_answer_is_not_asked_to(model: str) -> None:
    behind = {"role": "system", "content": "Be brief."}
    with pytest.raises(InvalidRequest) as caught:
        turns(user("a"), assistant("b"), behind, model=model)
    (violation,) = caught.value.violations
    assert violation.field == "messages[1].role"
    assert turns(user("a"), assistant("b"), user("c"), model=model)[-1] == ("user", [said("c")])
    assert turns(user("a"), assistant(" "), model=model) == [("user", [said("a")])]


def test_arguments_go_back_to_the_letter() -> None:
    arguments = '{"z": 12345678901234567890123, "a": 1.0, "é": "\\u00e9"}'
    messages = [user("a"), assistant(None, call("c1", arguments)), result("c1")]
    request = proto_request({"model": "m", "messages": messages})
    sent = AnthropicDialect().encode(request, "m", stream=False).body
    assert arguments.encode() in sent


@pytest.mark.parametrize("arguments", ['{"a": ', "[1]", "5", "null", "not JSON"])
def test_arguments_that_are_no_object_go_back_inside_of_one(arguments: str) -> None:
    found = turns(user("a"), assistant(None, call("c1", arguments)), result("c1"))
    assert found[1][1][0]["input"] == {"invalid_arguments": arguments}


@pytest.mark.parametrize("arguments", ["", " "])
def test_no_arguments_are_an_empty_object(arguments: str) -> None:
    found = turns(user("a"), assistant(None, call("c1", arguments)), result("c1"))
    assert found[1][1][0]["input"] == {}


@pytest.mark.parametrize("foreign", ["functions.look:0", "call 1", "ä", "x|y"])
def test_an_id_that_the_api_refuses_is_replaced_in_call_and_result_alike(foreign: str) -> None:
    found = turns(user("a"), assistant(None, call(foreign)), result(foreign))
    given = found[1][1][0]["id"]
    assert re.fullmatch(r"[A-Za-z0-9_-]+", given)
    assert found[2][1][0]["tool_use_id"] == given


def test_an_id_that_comes_again_is_another_one_and_so_is_its_result() -> None:
    found = turns(
        *(user("a"), assistant(None, call("call_0_0")), result("call_0_0")),
        *(assistant(None, call("call_0_0")), result("call_0_0")),
    )
    first, second = found[1][1][0]["id"], found[3][1][0]["id"]
    assert first == "call_0_0" != second
    assert found[2][1][0]["tool_use_id"] == first
    assert found[4][1][0]["tool_use_id"] == second


def test_different_foreign_ids_stay_different() -> None:
    found = turns(user("a"), assistant(None, call("a.b"), call("a:b")), result("a:b"))
    first, second = (block["id"] for block in found[1][1])
    assert first != second == found[2][1][0]["tool_use_id"]


@pytest.mark.parametrize(
    ("url", "block"),
    [
        ("https://x/y.png", {"type": "image", "source": {"type": "url", "url": "https://x/y.png"}}),
        ("HTTPS://x/y", {"type": "image", "source": {"type": "url", "url": "HTTPS://x/y"}}),
        (
            f"data:image/png;base64,{PNG}",
            {
                "type": "image",
                "source": {"type": "base64", "media_type": "image/png", "data": PNG},
            },
        ),
        (
            f"data:image/jpg;base64,{PNG}",
            {
                "type": "image",
                "source": {"type": "base64", "media_type": "image/jpeg", "data": PNG},
            },
        ),
        (
            f"data:application/pdf;base64,{PNG}",
            {
                "type": "document",
                "source": {"type": "base64", "media_type": "application/pdf", "data": PNG},
            },
        ),
    ],
)
def test_an_image_is_sent_by_its_url_or_as_its_bytes(url: str, block: dict[str, Any]) -> None:
    part = {"type": "image_url", "image_url": {"url": url}}
    assert turns(user([said("What is it?"), part])) == [("user", [said("What is it?"), block])]


@pytest.mark.parametrize(
    "url", ["data:image/tiff;base64,AAAA", "data:image/png,raw", "data:image/png;base64,%%%"]
)
def test_an_image_that_no_block_can_hold_is_refused_by_its_path(url: str) -> None:
    part = {"type": "image_url", "image_url": {"url": url}}
    with pytest.raises(InvalidRequest) as caught:
        turns(user("a"), user([said("b"), part]))
    (violation,) = caught.value.violations
    assert violation.field == "messages[1].content[1].image_url.url"
    assert "image/png" in violation.description


def test_a_result_for_nothing_is_left_for_the_provider_to_judge() -> None:
    assert turns(user("a"), result("c9"))[0][1][0]["tool_use_id"] == "c9"


def test_a_request_with_nothing_in_it_raises_nothing() -> None:
    request = pb.ChatCompletionRequest(messages=[pb.Message(role=pb.ROLE_USER)])
    assert AnthropicDialect().encode(request, "m", stream=False).body
