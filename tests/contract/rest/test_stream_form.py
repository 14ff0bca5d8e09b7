"""The events of a stream, to the byte."""

from __future__ import annotations

import json
import re
from typing import Any

import pytest

from tests.support.asking import hello
from tests.support.openai_wire import USAGE, Answer, Call, Said, echoes, says
from tests.support.rest_door import RestDoor
from tests.support.rest_form import DONE
from tests.support.scripted_upstream import ScriptedUpstream

TOOLS = [{"type": "function", "function": {"name": name}} for name in ("weather", "time")]


async def _choices(door: RestDoor, **fields: Any) -> list[tuple[list[Any], Any]]:
    """Of each event: the choices and the usage ("absent" where there is no such key)."""
    reply = await door.send(json.dumps(hello(stream=True, **fields)).encode())
    assert reply.status == 200
    events = reply.events
    assert events.pop() == DONE
    documents = [json.loads(event) for event in events]
    return [(document["choices"], document.get("usage", "absent")) for document in documents]


def _said(index: int, **delta: Any) -> list[Any]:
    return [{"index": index, "delta": delta, "finish_reason": None}]


def _ended(index: int, reason: str) -> list[Any]:
    return [{"index": index, "delta": {}, "finish_reason": reason}]


async def test_text_comes_between_its_role_and_its_end(
    any_rest_door: RestDoor, upstream: ScriptedUpstream
) -> None:
    upstream.on("one", says("Hel", "lo"))

    assert await _choices(any_rest_door) == [
        (_said(0, role="assistant"), "absent"),
        (_said(0, content="Hel"), "absent"),
        (_said(0, content="lo"), "absent"),
        (_ended(0, "stop"), USAGE),
    ]


async def test_reasoning_and_refusal_have_deltas_of_their_own(
    any_rest_door: RestDoor, upstream: ScriptedUpstream
) -> None:
    upstream.on("one", says(reasoning=["Hm"], refusal=["No"]))

    assert await _choices(any_rest_door) == [
        (_said(0, role="assistant"), "absent"),
        (_said(0, reasoning_content="Hm"), "absent"),
        (_said(0, refusal="No"), "absent"),
        (_ended(0, "stop"), USAGE),
    ]


async def test_pieces_of_parallel_tool_calls_are_told_apart_by_index(
    any_rest_door: RestDoor, upstream: ScriptedUpstream
) -> None:
    calls = [Call("c1", "weather", ['{"a"', ":1}"]), Call("c2", "time", ['{"b":2}'])]
    upstream.on("one", says(calls=calls))

    events = await _choices(any_rest_door, tools=TOOLS)

    pieces = [choices[0]["delta"]["tool_calls"] for choices, _ in events[1:-1]]
    starts = [piece for (piece,) in pieces if "id" in piece]
    assert [(s["index"], s["id"], s["type"], s["function"]["name"]) for s in starts] == [
        (0, "c1", "function", "weather"),
        (1, "c2", "function", "time"),
    ]
    rest = [piece for (piece,) in pieces if "id" not in piece]
    assert rest == [
        {"index": 0, "function": {"arguments": '{"a"'}},
        {"index": 1, "function": {"arguments": '{"b":2}'}},
        {"index": 0, "function": {"arguments": ":1}"}},
    ]
    assert events[-1] == (_ended(0, "tool_calls"), USAGE)


async def test_two_choices_begin_and_end_each_for_itself(
    any_rest_door: RestDoor, upstream: ScriptedUpstream
) -> None:
    upstream.on("one", Answer([Said(["a"]), Said(["b"], finish="length")], USAGE))

    events = await _choices(any_rest_door, n=2)

    for index, reason in ((0, "stop"), (1, "length")):
        own = [choices for choices, _ in events if choices[0]["index"] == index]
        assert own[0] == _said(index, role="assistant")
        assert own[-1] == _ended(index, reason)
    assert [usage for _, usage in events] == ["absent"] * (len(events) - 1) + [USAGE]


async def test_usage_apart_where_the_client_asks_for_it(
    any_rest_door: RestDoor, upstream: ScriptedUpstream
) -> None:
    upstream.on("one", says("Hello"))

    events = await _choices(any_rest_door, stream_options={"include_usage": True})

    assert events[-2] == (_ended(0, "stop"), None)
    assert events[-1] == ([], USAGE)
    assert all(usage in ("absent", None) for _, usage in events[:-1])


@pytest.mark.parametrize("asked", [False, True])
async def test_the_provider_is_always_asked_for_usage(
    asked: bool, any_rest_door: RestDoor, upstream: ScriptedUpstream
) -> None:
    upstream.on("one", says("Hello"))

    await _choices(any_rest_door, stream_options={"include_usage": asked})

    assert upstream.requests[0].json["stream_options"] == {"include_usage": True}


async def test_usage_that_we_estimate_is_marked(
    any_rest_door: RestDoor, upstream: ScriptedUpstream
) -> None:
    upstream.on("one", says("Hello there", usage=None))

    _, usage = (await _choices(any_rest_door))[-1]

    assert usage["estimated"] is True
    assert usage["prompt_tokens"] > 0 and usage["completion_tokens"] > 0


async def test_a_stream_has_one_id_time_and_model(
    any_rest_door: RestDoor, upstream: ScriptedUpstream
) -> None:
    upstream.on("one", says("Hel", "lo"))

    replies = [await any_rest_door.send(json.dumps(hello(stream=True)).encode()) for _ in range(2)]

    ids = []
    for reply in replies:
        documents = [json.loads(event) for event in reply.events[:-1]]
        ((id_, _, model),) = {(d["id"], d["created"], d["model"]) for d in documents}
        assert re.fullmatch(r"chatcmpl-[0-9a-f]{24}", id_)
        assert model == "test/one"
        ids.append(id_)
    assert ids[0] != ids[1]


async def test_no_character_breaks_an_event(
    any_rest_door: RestDoor, upstream: ScriptedUpstream
) -> None:
    upstream.on("one", echoes)
    text = "a\n\nb\r\nc\rd\x00e\u2028f\u2029g\x85h\x0bi\x0c\ufeffj data: [DONE]\n\n"
    messages = [{"role": "user", "content": text}]

    reply = await any_rest_door.send(json.dumps(hello(stream=True, messages=messages)).encode())

    # Lines as the clumsiest reader splits them.
    events = [line for line in reply.body.decode().splitlines() if line]
    assert all(line.startswith("data: ") for line in events)
    assert events[-1] == f"data: {DONE}"
    deltas = [json.loads(line.removeprefix("data: "))["choices"][0] for line in events[:-1]]
    assert "".join(choice["delta"].get("content") or "" for choice in deltas) == text
