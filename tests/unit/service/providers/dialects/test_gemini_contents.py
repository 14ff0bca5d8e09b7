from __future__ import annotations

import json
from typing import Any

import pytest
from llmbase.v1 import chat_completion_pb2 as pb

from service.errors import InvalidRequest
from service.providers.dialects.gemini import GeminiDialect

DEVELOPER = GeminiDialect()
VERTEX = GeminiDialect(vertex=True, project="p")
OLD, NEW = "gemini-2.5-flash", "gemini-3.5-flash"


def said(role: pb.Role.ValueType, *texts: str, **fields: Any) -> pb.Message:
    return pb.Message(role=role, content=[pb.ContentPart(text=text) for text in texts], **fields)


def user(*texts: str) -> pb.Message:
    return said(pb.ROLE_USER, *texts)


def assistant(*texts: str, **fields: Any) -> pb.Message:
    return said(pb.ROLE_ASSISTANT, *texts, **fields)


def result(call_id: str, text: str, **fields: Any) -> pb.Message:
    return said(pb.ROLE_TOOL, text, tool_call_id=call_id, **fields)


def pictured(url: str) -> pb.Message:
    return pb.Message(role=pb.ROLE_USER, content=[pb.ContentPart(image_url=pb.ImageUrl(url=url))])


def call(name: str, call_id: str = "c", arguments: str = "{}", state: bytes = b"") -> pb.ToolCall:
    return pb.ToolCall(id=call_id, name=name, arguments=arguments, provider_state=state)


def raw(messages: tuple[pb.Message, ...], dialect: GeminiDialect, model: str) -> bytes:
    request = pb.ChatCompletionRequest(messages=messages)
    return dialect.encode(request, model, stream=False).body


def body(*messages: pb.Message, dialect: GeminiDialect = DEVELOPER, model: str = OLD) -> Any:
    return json.loads(raw(messages, dialect, model))


def contents(*messages: pb.Message, dialect: GeminiDialect = DEVELOPER, model: str = OLD) -> Any:
    return body(*messages, dialect=dialect, model=model)["contents"]


def turns(*messages: pb.Message) -> list[tuple[str, Any]]:
    return [(turn["role"], turn["parts"]) for turn in contents(*messages)]


def test_system_and_developer_text_leaves_the_turns_in_order() -> None:
    sent = body(
        said(pb.ROLE_SYSTEM, "One.", " Still one."),
        user("Hi"),
        said(pb.ROLE_DEVELOPER, "Two."),
        said(pb.ROLE_SYSTEM, ""),
    )
    assert sent == {
        "systemInstruction": {"parts": [{"text": "One. Still one."}, {"text": "Two."}]},
        "contents": [{"role": "user", "parts": [{"text": "Hi"}]}],
    }


def test_system_text_alone_is_asked_as_the_users() -> None:
    assert body(said(pb.ROLE_SYSTEM, "Say hi.")) == {
        "contents": [{"role": "user", "parts": [{"text": "Say hi."}]}]
    }


def test_neighbours_of_one_side_become_one_turn() -> None:
    assert turns(user("a", "b"), user("c"), assistant("d"), assistant("e"), user("f")) == [
        ("user", [{"text": "a"}, {"text": "b"}, {"text": "c"}]),
        ("model", [{"text": "d"}, {"text": "e"}]),
        ("user", [{"text": "f"}]),
    ]


@pytest.mark.parametrize(
    "message",
    [user(""), assistant(""), assistant(reasoning_content="hm"), said(pb.ROLE_SYSTEM, "")],
    ids=["user", "assistant", "reasoning", "system"],
)
def test_a_turn_that_says_nothing_still_has_a_part(message: pb.Message) -> None:
    ((_, parts),) = turns(message)
    assert parts == [{"text": " "}]


def test_reasoning_is_not_sent_back_but_a_refusal_is() -> None:
    told = assistant(reasoning_content="hm", refusal="I will not.")
    assert turns(told) == [("model", [{"text": "I will not."}])]


def test_a_data_url_is_inline_data() -> None:
    assert turns(pictured("data:image/webp;base64,AAAA")) == [
        ("user", [{"inlineData": {"mimeType": "image/webp", "data": "AAAA"}}])
    ]


def test_an_image_that_is_not_base64_is_refused_by_its_place() -> None:
    mixed = pb.Message(
        role=pb.ROLE_USER,
        content=[
            pb.ContentPart(text="see"),
            pb.ContentPart(image_url=pb.ImageUrl(url="data:image/svg+xml,<svg/>")),
        ],
    )
    with pytest.raises(InvalidRequest) as caught:
        body(said(pb.ROLE_SYSTEM, "s"), user("a"), mixed)
    assert caught.value.violations[0].field == "messages[2].content[1].image_url.url"


@pytest.mark.parametrize(
    ("url", "mime_type"),
    [
        ("https://host.example/a.png", "image/png"),
        ("https://host.example/a.PNG?size=1.jpg#x", "image/png"),
        ("https://host.example/a.webp", "image/webp"),
        ("https://host.example/a.jpg", "image/jpeg"),
        ("https://host.example/a", "image/jpeg"),
        ("https://host.example/", "image/jpeg"),
    ],
)
def test_an_https_url_is_passed_on_with_the_type_its_name_suggests(
    url: str, mime_type: str
) -> None:
    assert DEVELOPER.takes_image_urls
    assert turns(pictured(url)) == [
        ("user", [{"fileData": {"fileUri": url, "mimeType": mime_type}}])
    ]


def test_a_file_that_google_holds_already_has_its_type() -> None:
    url = "https://generativelanguage.googleapis.com/v1beta/files/abc"
    assert turns(pictured(url)) == [("user", [{"fileData": {"fileUri": url}}])]


def test_a_result_names_the_function_of_the_call_with_its_id() -> None:
    history = (
        user("q"),
        assistant(tool_calls=[call("now", "c1"), call("add", "c2", '{"b":2,"a":1}')]),
        result("c1", "noon"),
        result("c2", '{"sum":3}'),
        user("and?"),
    )
    assert turns(*history)[1:] == [
        (
            "model",
            [
                {"functionCall": {"name": "now", "args": {}, "id": "c1"}},
                {"functionCall": {"name": "add", "args": {"b": 2, "a": 1}, "id": "c2"}},
            ],
        ),
        (
            "user",
            [
                {"functionResponse": {"name": "now", "response": {"output": "noon"}, "id": "c1"}},
                {"functionResponse": {"name": "add", "response": {"sum": 3}, "id": "c2"}},
                {"text": "and?"},
            ],
        ),
    ]


def test_vertex_gets_no_ids_because_its_v1_knows_none() -> None:
    history = (assistant(tool_calls=[call("now", "c1")]), result("c1", "noon"))
    sent = contents(*history, dialect=VERTEX)
    assert sent[0]["parts"] == [{"functionCall": {"name": "now", "args": {}}}]
    assert sent[1]["parts"] == [
        {"functionResponse": {"name": "now", "response": {"output": "noon"}}}
    ]


def test_results_stand_in_the_order_of_their_calls() -> None:
    history = (
        assistant(tool_calls=[call("f", "c1"), call("f", "c2"), call("f", "c3")]),
        result("c3", "three"),
        result("c1", "one"),
        result("c2", "two"),
    )
    parts = contents(*history, dialect=VERTEX)[1]["parts"]
    told = [part["functionResponse"]["response"]["output"] for part in parts]
    assert told == ["one", "two", "three"]


def test_an_id_that_is_used_again_means_the_latest_call() -> None:
    history = (
        assistant(tool_calls=[call("f", "c")]),
        result("c", "1"),
        assistant(tool_calls=[call("g", "c")]),
        result("c", "2"),
    )
    sent = contents(*history)
    names = [turn["parts"][0]["functionResponse"]["name"] for turn in sent[1::2]]
    assert names == ["f", "g"]


def test_a_result_without_a_call_is_refused_unless_it_names_its_function() -> None:
    named = body(result("c9", "x", name="lookup"))["contents"][0]["parts"]
    assert named[0]["functionResponse"]["name"] == "lookup"
    with pytest.raises(InvalidRequest) as caught:
        body(user("a"), result("c9", "x"))
    assert caught.value.violations[0].field == "messages[1].tool_call_id"


@pytest.mark.parametrize(
    ("text", "wanted"),
    [
        ('{"z":1,"a":{"b":[]}}', {"z": 1, "a": {"b": []}}),
        ("{}", {}),
        ('["a",1]', {"output": ["a", 1]}),
        ("plain", {"output": "plain"}),
        ("12", {"output": "12"}),
        ('"quoted"', {"output": '"quoted"'}),
        ("null", {"output": "null"}),
        ("", {"output": ""}),
        ('{"broken":', {"output": '{"broken":'}),
        ('{"a":NaN}', {"output": '{"a":NaN}'}),
    ],
)
def test_a_result_is_an_object_or_stands_in_one(text: str, wanted: Any) -> None:
    sent = contents(assistant(tool_calls=[call("f")]), result("c", text))
    assert sent[1]["parts"][0]["functionResponse"]["response"] == wanted


@pytest.mark.parametrize("text", ["not json", "[1]", "1", "null", '{"a":', ""])
def test_arguments_that_are_no_object_become_an_empty_one(text: str) -> None:
    (turn,) = contents(assistant(tool_calls=[call("f", arguments=text)]))
    assert turn["parts"][0]["functionCall"]["args"] == {}


def test_no_number_and_no_order_of_keys_is_lost_on_the_way_out() -> None:
    text = '{"z":12345678901234567890123,"a":0.10000000000000000001}'
    messages = (assistant(tool_calls=[call("f", arguments=text)]), result("c", text))
    assert raw(messages, DEVELOPER, OLD).count(text.encode()) == 2


SIGNED = b'{"gemini":{"signature":"c2ln"}}\n'


def test_a_signature_goes_back_on_the_call_it_came_with_and_on_no_other() -> None:
    calls = [call("f", "c1", state=SIGNED), call("g", "c2")]
    (turn,) = contents(assistant(tool_calls=calls), model=NEW)
    assert [part.get("thoughtSignature") for part in turn["parts"]] == ["c2ln", None]


def test_a_signature_of_text_goes_back_on_its_stretch_of_the_text() -> None:
    state = (
        b'{"gemini":{"signature":"czE=","start":2,"length":3}}\n'
        b'{"gemini":{"signature":"czI=","start":7}}\n'
    )
    assert turns(assistant("ab\u00e9\U0001f600efg", provider_state=state)) == [
        (
            "model",
            [
                {"text": "ab"},
                {"text": "\u00e9\U0001f600e", "thoughtSignature": "czE="},
                {"text": "fg"},
                {"text": "", "thoughtSignature": "czI="},
            ],
        )
    ]


def test_a_signature_after_a_call_goes_back_after_it() -> None:
    state = b'{"gemini":{"signature":"czE=","start":1,"length":1,"calls":1}}\n'
    message = assistant("ab", tool_calls=[call("f", "c1"), call("g", "c2")], provider_state=state)
    ((_, parts),) = turns(message)
    kinds = [part.get("text") or part["functionCall"]["name"] for part in parts]
    assert kinds == ["a", "f", "b", "g"]
    assert parts[2]["thoughtSignature"] == "czE="


def test_a_signed_thought_goes_back_as_a_thought() -> None:
    state = b'{"gemini":{"signature":"czE=","thought":true,"start":1,"length":2}}\n'
    assert turns(assistant("Yes.", reasoning_content="(hm)", provider_state=state)) == [
        (
            "model",
            [
                {"text": "hm", "thought": True, "thoughtSignature": "czE="},
                {"text": "Yes."},
            ],
        )
    ]


def test_a_text_that_was_edited_keeps_its_words_and_its_signature() -> None:
    state = b'{"gemini":{"signature":"czE=","start":10,"length":5}}\n'
    assert turns(assistant("short", provider_state=state)) == [
        ("model", [{"text": "short"}, {"text": "", "thoughtSignature": "czE="}])
    ]


@pytest.mark.parametrize(
    "state",
    [
        b'{"reasoning_opaque":"x"}\n',
        b'{"anthropic":{"signature":"x"}}\n',
        b'{"gemini":{"signature":5}}\n',
        b'{"gemini":{"signature":"x","start":-1}}\n',
        b'{"gemini":"x"}\n',
        b"\xff\x00garbage",
        b"[" * 2000,
    ],
)
def test_state_of_another_dialect_and_garbage_are_left_out(state: bytes) -> None:
    message = assistant("a", provider_state=state, tool_calls=[call("f", state=state)])
    assert turns(message) == turns(assistant("a", tool_calls=[call("f")]))


def test_a_history_without_signatures_gets_googles_substitute_where_one_is_demanded() -> None:
    history = (
        user("q"),
        assistant(tool_calls=[call("f", "c1"), call("g", "c2")]),
        result("c1", "1"),
        result("c2", "2"),
        assistant(tool_calls=[call("h", "c3", state=SIGNED)]),
        result("c3", "3"),
    )
    sent = contents(*history, model=NEW)
    signatures = [
        part.get("thoughtSignature")
        for turn in sent
        for part in turn["parts"]
        if "functionCall" in part
    ]
    assert signatures == ["skip_thought_signature_validator", None, "c2ln"]


@pytest.mark.parametrize("model", [OLD, "gemini-2.0-flash", "gemma-3", "endpoints/1"])
def test_a_model_that_demands_no_signature_gets_no_substitute(model: str) -> None:
    sent = contents(assistant(tool_calls=[call("f")]), model=model, dialect=VERTEX)
    assert "thoughtSignature" not in sent[0]["parts"][0]
