"""The headers of answers, and what a caller's own headers do."""

from __future__ import annotations

import json
import re

import pytest

from tests.support.asking import hello
from tests.support.openai_wire import refuses, says
from tests.support.rest_door import PATH, RestDoor
from tests.support.scripted_upstream import ScriptedUpstream

OUR_ID = re.compile(r"[A-Za-z0-9_-]{8,}")


async def test_how_the_answer_came_about(
    any_rest_door: RestDoor, streamed: bool, upstream: ScriptedUpstream
) -> None:
    upstream.on("first", refuses(500))
    upstream.on("second", says("Hello"))

    reply = await any_rest_door.send(json.dumps(hello("test/two", stream=streamed)).encode())

    told = {name: value for name, value in reply.headers.items() if "llmbase" in name.lower()}
    assert told == {
        "x-llmbase-requested-model": "test/two",
        "x-llmbase-served-model": "test/two",
        "x-llmbase-fallback-applied": "false",
        "x-llmbase-provider": "beta",
        "x-llmbase-attempts": "2",
    }


async def test_a_model_fallback_is_told(
    any_rest_door: RestDoor, streamed: bool, upstream: ScriptedUpstream
) -> None:
    upstream.on("gone", refuses(500))
    upstream.on("understudy", says("Hello"))

    reply = await any_rest_door.send(json.dumps(hello("test/gone", stream=streamed)).encode())

    assert reply.headers["x-llmbase-requested-model"] == "test/gone"
    assert reply.headers["x-llmbase-served-model"] == "test/understudy"
    assert reply.headers["x-llmbase-fallback-applied"] == "true"
    assert reply.headers["x-llmbase-fallback-reason"] == "model_unavailable"
    assert reply.headers["x-llmbase-fallback-chain"] == "test/gone,test/understudy"


@pytest.mark.parametrize("given", ["abc-123", "a" * 64, "00000000-0000-4000-8000-000000000000"])
async def test_a_sane_request_id_is_kept(
    given: str, any_rest_door: RestDoor, streamed: bool, upstream: ScriptedUpstream
) -> None:
    upstream.on("one", says("Hello"))
    body = json.dumps(hello(stream=streamed)).encode()

    reply = await any_rest_door.send(body, {"X-Request-Id": given})

    assert reply.headers["x-request-id"] == given


@pytest.mark.parametrize("given", [None, "", "a b", "x" * 1000, "<script>", "é"])
async def test_any_other_request_id_is_replaced_by_ours(
    given: str | None, any_rest_door: RestDoor, upstream: ScriptedUpstream
) -> None:
    upstream.on("one", says("Hello"))
    headers = {"X-Request-Id": given} if given is not None else {}

    replies = [await any_rest_door.send(json.dumps(hello()).encode(), headers) for _ in range(2)]

    ours = [reply.headers["x-request-id"] for reply in replies]
    assert all(OUR_ID.fullmatch(name) for name in ours)
    assert ours[0] != ours[1] and given not in ours


async def test_every_answer_has_a_request_id_whatever_it_is(any_rest_door: RestDoor) -> None:
    replies = [
        await any_rest_door.send(b"{"),
        await any_rest_door.send(json.dumps(hello("unknown/model")).encode()),
        await any_rest_door.send(b"{}", {"Authorization": "Bearer wrong-key-0123456789"}),
        await any_rest_door.get("/nowhere"),
        await any_rest_door.get(PATH),
        await any_rest_door.get("/v1/models"),
        await any_rest_door.get("/livez"),
    ]

    for reply in replies:
        assert OUR_ID.fullmatch(reply.headers["x-request-id"])


async def test_a_stream_is_not_to_be_kept_or_buffered(
    any_rest_door: RestDoor, upstream: ScriptedUpstream
) -> None:
    upstream.on("one", says("Hello"))
    body = json.dumps(hello(stream=True)).encode()

    reply = await any_rest_door.send(body, {"Accept-Encoding": "gzip, deflate"})

    assert reply.headers["Content-Type"] == "text/event-stream; charset=utf-8"
    assert reply.headers["Cache-Control"] == "no-cache"
    assert reply.headers["X-Accel-Buffering"] == "no"
    assert "Content-Encoding" not in reply.headers


async def test_pages_of_other_origins_may_not_call_by_default(
    any_rest_door: RestDoor, upstream: ScriptedUpstream
) -> None:
    upstream.on("one", says("Hello"))

    reply = await any_rest_door.send(json.dumps(hello()).encode(), {"Origin": "https://a.example"})
    asked = {"Origin": "https://a.example", "Access-Control-Request-Method": "POST"}
    async with any_rest_door.session.options(PATH, headers=asked) as preflight:
        pass

    assert not [name for name in reply.headers if name.lower().startswith("access-control")]
    assert not [name for name in preflight.headers if name.lower().startswith("access-control")]
