"""Hostile bytes from either side: an error in our own form, never a 500, never a hang."""

from __future__ import annotations

import gzip
import json
from collections.abc import AsyncIterator, Iterator
from urllib.parse import quote

import pytest

from tests.support.asking import hello
from tests.support.openai_wire import Call, echoes, says, stream, unary
from tests.support.rest_door import PATH, RestDoor
from tests.support.rest_form import Reply, read_reply
from tests.support.scripted_upstream import ScriptedUpstream
from tests.support.scripts import Piece, Script
from tests.support.shared import require_shared, shared_json, shared_names

JSON_FILES = shared_names("nasty", "jsontestsuite", pattern="*.json")
HUGE = 40_000_000  # bytes: more than the limit of a request
SPACES = b" " * HUGE


def _json_file(name: str) -> bytes:
    return require_shared("nasty", "jsontestsuite", name).read_bytes()


def _check_refusal(reply: Reply, upstream: ScriptedUpstream, *statuses: int) -> None:
    assert reply.failure.status in statuses
    assert reply.failure.type == "invalid_request_error"
    assert not upstream.requests


@pytest.mark.parametrize("name", JSON_FILES)
async def test_json_that_is_no_chat_request_is_refused(
    name: str, any_rest_door: RestDoor, upstream: ScriptedUpstream
) -> None:
    _check_refusal(await any_rest_door.send(_json_file(name)), upstream, 400)


@pytest.mark.parametrize("name", JSON_FILES)
async def test_json_that_is_no_answer_is_the_providers_failure(
    name: str, any_rest_door: RestDoor, streamed: bool, upstream: ScriptedUpstream
) -> None:
    data = _json_file(name)
    upstream.on("one", stream(b"data: " + data + b"\n\n") if streamed else unary(data))

    answer = await any_rest_door.ask(hello(stream=streamed))

    assert answer.failure is not None
    assert (answer.failure.status, answer.failure.code) == (502, "all_providers_failed")


@pytest.mark.parametrize("name", JSON_FILES)
async def test_json_that_is_no_chunk_never_ends_a_stream_well(
    name: str, rest_door: RestDoor, upstream: ScriptedUpstream
) -> None:
    role, hel, *_ = says("Hel").events()
    upstream.on("one", stream(role, hel, b"data: " + _json_file(name) + b"\n\n"))

    answer = await rest_door.ask(hello(stream=True))

    assert answer.text == "Hel"
    assert not answer.complete
    assert answer.code in ("upstream_error", "upstream_truncated")


@pytest.mark.parametrize("name", JSON_FILES)
async def test_arguments_of_a_tool_call_are_passed_on_whatever_they_are(
    name: str, any_rest_door: RestDoor, streamed: bool, upstream: ScriptedUpstream
) -> None:
    try:
        arguments = _json_file(name).decode()
    except UnicodeDecodeError:
        arguments = _json_file(name).decode("latin-1")
    half = len(arguments) // 2
    upstream.on("one", says(calls=[Call("c1", "f", [arguments[:half], arguments[half:]])]))
    tools = [{"type": "function", "function": {"name": "f"}}]

    answer = await any_rest_door.ask(hello(stream=streamed, tools=tools))

    assert answer.calls == [("f", arguments if arguments.strip() else "{}")]


async def test_bytes_that_are_no_utf8_are_refused_and_others_come_back(
    any_rest_door: RestDoor, upstream: ScriptedUpstream
) -> None:
    upstream.otherwise(echoes)
    for case, digits in shared_json("nasty", "utf8_hex.json").items():
        data = bytes.fromhex(digits)
        body = json.dumps(hello(messages=[{"role": "user", "content": "@"}])).encode()

        reply = await any_rest_door.send(body.replace(b"@", b"a" + data + b"z"))

        if case in ("nonchar_fffe", "bom_inside"):
            assert read_reply(reply).text == f"a{data.decode()}z"
        else:
            assert reply.failure.status == 400, case
    assert len(upstream.requests) == 2


async def test_naughty_strings_come_back_as_they_were(
    any_rest_door: RestDoor, streamed: bool, upstream: ScriptedUpstream
) -> None:
    upstream.otherwise(echoes)
    for text in shared_json("nasty", "blns.json"):
        messages = [{"role": "system", "content": text}, {"role": "user", "content": text}]
        fields = {"messages": messages, "user": text, "stop": [text] if text else []}

        answer = await any_rest_door.ask(hello(stream=streamed, **fields))

        assert answer.text == text or (streamed and not text and answer.text in (None, ""))
        asked = upstream.exchanges[-1].request.json
        assert [message["content"] for message in asked["messages"]] == [text, text]
        assert asked.get("stop", []) == fields["stop"]


async def test_a_naughty_string_is_no_model(
    any_rest_door: RestDoor, upstream: ScriptedUpstream
) -> None:
    for text in shared_json("nasty", "blns.json"):
        reply = await any_rest_door.send(json.dumps(hello(text)).encode())
        listed = await any_rest_door.get("/v1/models/" + quote(text, safe=""))

        _check_refusal(reply, upstream, 400, 404)
        assert listed.status in (200, 404), text  # the empty name lists all


async def test_a_naughty_name_is_taken_or_refused(
    any_rest_door: RestDoor, upstream: ScriptedUpstream
) -> None:
    upstream.otherwise(echoes)
    for text in shared_json("nasty", "blns.json"):
        tools = [{"type": "function", "function": {"name": text}}]
        messages = [{"role": "user", "content": "x", "name": text}]
        for fields in ({"tools": tools}, {"messages": messages}):
            body = json.dumps(hello() | fields).encode()
            reply = await any_rest_door.send(body)

            assert reply.status in (200, 400)
            if reply.status == 400:
                assert reply.failure.type == "invalid_request_error"


async def test_a_naughty_header_changes_nothing(
    any_rest_door: RestDoor, upstream: ScriptedUpstream
) -> None:
    upstream.otherwise(echoes)
    for text in shared_json("nasty", "blns.json"):
        value = "".join(c for c in text if c == "\t" or " " <= c != "\x7f").encode()
        named = {"X-Request-Id": value, "Traceparent": value, "X-LLMBase-Fallback": value}
        headers = {name: content.decode("latin-1") for name, content in named.items()}

        reply = await any_rest_door.send(json.dumps(hello()).encode(), headers)

        assert reply.status == 200, text
        assert reply.headers["x-request-id"].isprintable()


async def test_any_json_schema_reaches_the_provider_as_it_is(
    any_rest_door: RestDoor, upstream: ScriptedUpstream
) -> None:
    upstream.otherwise(echoes)
    for case in shared_json("nasty", "json_schemas.json"):
        schema = case["schema"]
        function = {"name": "f", "parameters": schema}
        form = {"type": "json_schema", "json_schema": {"name": "x", "schema": schema}}
        tools = [{"type": "function", "function": function}]

        reply = await any_rest_door.send(
            json.dumps(hello(tools=tools, response_format=form)).encode()
        )

        if not isinstance(schema, dict):
            assert reply.failure.param == "tools[0].function.parameters"
            continue
        assert reply.status == 200, (case["description"], reply.body)
        asked = upstream.exchanges[-1].request.json
        assert asked["tools"][0]["function"]["parameters"] == schema
        assert asked["response_format"]["json_schema"]["schema"] == schema


@pytest.mark.parametrize("opening", ["[", '{"a":', '[{"a":'])
async def test_a_hundred_thousand_levels_are_refused(
    opening: str, any_rest_door: RestDoor, upstream: ScriptedUpstream
) -> None:
    unclosed = (opening * 100_000).encode()
    closing = {"[": "]", '{"a":': "}", '[{"a":': "}]"}[opening]
    closed = (opening * 100_000 + "0" + closing * 100_000).encode()

    for body in (unclosed, closed):
        _check_refusal(await any_rest_door.send(body), upstream, 400)


@pytest.mark.parametrize("opening", ["[", '{"a":', '{"choices":['])
async def test_a_hundred_thousand_levels_are_no_answer(
    opening: str, any_rest_door: RestDoor, streamed: bool, upstream: ScriptedUpstream
) -> None:
    data = (opening * 100_000).encode()
    upstream.on("one", stream(b"data: " + data + b"\n\n") if streamed else unary(data))

    answer = await any_rest_door.ask(hello(stream=streamed))

    assert answer.code == "all_providers_failed"


async def test_a_body_over_the_limit_is_too_large(
    any_rest_door: RestDoor, upstream: ScriptedUpstream
) -> None:
    _check_refusal(await any_rest_door.send(SPACES), upstream, 413)


async def test_a_body_over_the_limit_without_a_length_is_too_large(
    any_rest_door: RestDoor, upstream: ScriptedUpstream
) -> None:
    async def pieces() -> AsyncIterator[bytes]:
        for _ in range(HUGE // 1_000_000):
            yield SPACES[:1_000_000]

    headers = {"Content-Type": "application/json"}
    async with any_rest_door.session.post(PATH, data=pieces(), headers=headers) as response:
        reply = Reply(response.status, response.headers, await response.read())

    _check_refusal(reply, upstream, 413)


async def test_a_body_that_inflates_over_the_limit_is_too_large(
    any_rest_door: RestDoor, upstream: ScriptedUpstream
) -> None:
    bomb = gzip.compress(b" " * HUGE * 2)

    reply = await any_rest_door.send(bomb, {"Content-Encoding": "gzip"})

    _check_refusal(reply, upstream, 413)


async def test_ten_thousand_keys_are_read_and_their_names_are_not_all_repeated(
    any_rest_door: RestDoor, upstream: ScriptedUpstream
) -> None:
    upstream.otherwise(echoes)
    keys = {f"key{i}": i for i in range(10_000)}

    alone = await any_rest_door.send(json.dumps(keys).encode())
    beside = await any_rest_door.send(json.dumps(hello() | keys).encode())

    assert alone.failure.status == 400
    assert beside.status == 200
    assert sum(len(name) + len(value) for name, value in beside.headers.items()) < 8000
    assert len(upstream.requests) == 1


@pytest.mark.parametrize("size", [1_000_000, 30_000_000])
async def test_a_large_prompt_is_served(
    size: int, any_rest_door: RestDoor, upstream: ScriptedUpstream
) -> None:
    upstream.on("one", says("Hello"))
    text = "é" * (size // 2)
    messages = [{"role": "user", "content": text}]

    reply = await any_rest_door.send(
        json.dumps(hello(messages=messages), ensure_ascii=False).encode()
    )

    assert reply.status == 200
    assert upstream.requests[0].json["messages"][0]["content"] == text


async def test_a_large_answer_is_served(
    any_rest_door: RestDoor, streamed: bool, upstream: ScriptedUpstream
) -> None:
    text = "漢" * 1_500_000
    upstream.on("one", says(text))

    answer = await any_rest_door.ask(hello(stream=streamed))

    assert answer.text == text


def _endless() -> Iterator[tuple[str, Script]]:
    """Answers that would fill any memory."""
    block = b"x" * 1_000_000
    head = {"Content-Type": "text/event-stream"}
    flood: list[Piece] = [block] * 200
    yield "an event without an end", Script([b"data: ", *flood], headers=head)
    yield "a comment without an end", Script([b":", *flood], headers=head)
    yield "a header without an end", Script(headers={"X-Long": "x" * 5_000_000})
    yield "headers without an end", Script(headers={f"X-{i}": "x" * 50 for i in range(100_000)})


@pytest.mark.parametrize(("name", "script"), list(_endless()))
async def test_an_answer_without_an_end_is_the_providers_failure(
    name: str, script: Script, any_rest_door: RestDoor, streamed: bool, upstream: ScriptedUpstream
) -> None:
    upstream.on("one", script)

    answer = await any_rest_door.ask(hello(stream=streamed))

    assert answer.code == "all_providers_failed"
