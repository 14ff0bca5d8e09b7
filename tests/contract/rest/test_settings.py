"""What an operator can set at the REST door: comments while waiting, body limit, origins."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Iterator

import pytest

from tests.support import config, deployments
from tests.support.asking import hello
from tests.support.config import KEY
from tests.support.deployments import Deployment
from tests.support.openai_wire import error_body, event, says, stream
from tests.support.rest_door import PATH, RestDoor
from tests.support.rest_form import DONE
from tests.support.scripted_upstream import ScriptedUpstream
from tests.support.scripts import cut, hold
from tests.support.signals import Signal

SETTINGS = {
    "LLMBASE_KEEPALIVE": "0.1",
    "LLMBASE_MAX_BODY": "2000",
    "LLMBASE_CORS": "https://a.example, https://b.example",
}
ROLE, HEL, LO, FINISH, USAGE, END = says("Hel", "lo").events()
COMMENT = b": keep-alive\n\n"


@pytest.fixture(scope="module", params=["one_process", "sidecar"])
def tuned(
    request: pytest.FixtureRequest,
    _upstream: ScriptedUpstream,
    tmp_path_factory: pytest.TempPathFactory,
) -> Iterator[Deployment]:
    """Each shape in turn, with settings of its own."""
    shape = {"one_process": deployments.one_process, "sidecar": deployments.sidecar}[request.param]
    directory = tmp_path_factory.mktemp("tuned")
    settings = config.standard(_upstream)
    with shape(_upstream, directory, settings, environment=SETTINGS) as deployment:
        yield deployment


@pytest.fixture
async def tuned_door(tuned: Deployment, upstream: ScriptedUpstream) -> AsyncIterator[RestDoor]:
    """The REST door with these settings."""
    async with RestDoor(tuned.http, KEY) as door:
        yield door


async def test_comments_are_sent_while_the_first_content_is_awaited(
    tuned_door: RestDoor, upstream: ScriptedUpstream
) -> None:
    go_on = Signal()
    upstream.on("first", stream(ROLE, cut))
    upstream.on("second", stream(ROLE, hold(go_on), HEL, LO, FINISH, USAGE, END))

    async with tuned_door.post(json.dumps(hello("test/two", stream=True)).encode()) as response:
        waiting = await response.content.readexactly(3 * len(COMMENT))
        names = {name.lower() for name in response.headers}
        go_on.set()
        rest = await response.read()

    assert waiting == COMMENT * 3
    told = {name for name in names if name.startswith(("x-request", "x-llmbase"))}
    assert told == {"x-request-id", "x-llmbase-requested-model"}
    while rest.startswith(COMMENT):
        rest = rest.removeprefix(COMMENT)
    assert rest.startswith(b'data: {"id":"chatcmpl-')
    assert rest.endswith(b"data: [DONE]\n\n")
    assert len(upstream.requests) == 2, "the first target failed, and nobody saw it"


async def test_an_error_after_a_comment_is_an_event(
    tuned_door: RestDoor, upstream: ScriptedUpstream
) -> None:
    go_on = Signal()
    upstream.on("one", stream(ROLE, hold(go_on), cut))

    async with tuned_door.post(json.dumps(hello(stream=True)).encode()) as response:
        await response.content.readexactly(len(COMMENT))
        go_on.set()
        rest = await response.read()

    assert response.status == 200
    last = rest.decode().strip().split("\n\n")[-1]
    error = json.loads(last.removeprefix("data: "))["error"]
    assert (error["type"], error["code"]) == ("upstream_error", "all_providers_failed")
    assert DONE.encode() not in rest


async def test_comments_are_sent_between_events(
    tuned_door: RestDoor, upstream: ScriptedUpstream
) -> None:
    go_on = Signal()
    upstream.on("one", stream(ROLE, HEL, hold(go_on), LO, FINISH, USAGE, END))

    async with tuned_door.post(json.dumps(hello(stream=True)).encode()) as response:
        before = await response.content.readuntil(COMMENT)
        go_on.set()
        after = await response.read()

    assert b'"content":"Hel"' in before and b'"content":"lo"' in after
    assert after.endswith(b"data: [DONE]\n\n")


async def test_an_answer_in_time_has_no_comments(
    tuned_door: RestDoor, upstream: ScriptedUpstream
) -> None:
    upstream.on("one", says("Hel", "lo"))

    reply = await tuned_door.send(json.dumps(hello(stream=True)).encode())

    assert b"\n:" not in reply.body and not reply.body.startswith(b":")
    assert reply.headers["x-llmbase-provider"] == "alpha"


async def test_a_whole_answer_waits_without_comments(
    tuned_door: RestDoor, upstream: ScriptedUpstream
) -> None:
    go_on = Signal()
    upstream.on("one", stream(hold(go_on), says("Hello").body()))
    asking = asyncio.create_task(tuned_door.send(json.dumps(hello()).encode()))
    await upstream.arrival(1)
    await asyncio.sleep(0.3)  # three times as long as a stream would wait for a comment
    go_on.set()

    reply = await asking

    assert reply.status == 200 and reply.body.startswith(b'{"id"')


async def test_a_body_over_the_limit_is_refused(
    tuned_door: RestDoor, upstream: ScriptedUpstream
) -> None:
    upstream.on("one", says("Hello"))
    short = json.dumps(hello()).encode()
    exact, over = (short + b" " * (size - len(short)) for size in (2000, 2001))

    taken, refused = await tuned_door.send(exact), await tuned_door.send(over)

    assert taken.status == 200
    assert (refused.failure.status, refused.failure.code) == (413, "request_too_large")
    assert len(upstream.requests) == 1


@pytest.mark.parametrize(
    ("origin", "allowed"), [("https://b.example", True), ("https://c.example", False)]
)
async def test_pages_of_named_origins_may_call(
    origin: str, allowed: bool, tuned_door: RestDoor, streamed: bool, upstream: ScriptedUpstream
) -> None:
    upstream.on("one", says("Hello"))
    wanted = origin if allowed else None
    asked = {
        "Origin": origin,
        "Access-Control-Request-Method": "POST",
        "Access-Control-Request-Headers": "authorization,content-type",
    }

    async with tuned_door.session.options(PATH, headers=asked) as preflight:
        pass
    reply = await tuned_door.send(json.dumps(hello(stream=streamed)).encode(), {"Origin": origin})
    failed = await tuned_door.send(b"{", {"Origin": origin})

    assert preflight.headers.get("Access-Control-Allow-Origin") == wanted
    if allowed:
        assert "authorization" in preflight.headers["Access-Control-Allow-Headers"].lower()
        assert "POST" in preflight.headers["Access-Control-Allow-Methods"]
    for answer in (reply, failed):
        assert answer.headers.get("Access-Control-Allow-Origin") == wanted
    exposed = reply.headers.get("Access-Control-Expose-Headers", "")
    assert ("x-request-id" in exposed) == allowed


async def test_a_refusal_in_the_stream_is_an_event_too(
    tuned_door: RestDoor, upstream: ScriptedUpstream
) -> None:
    go_on = Signal()
    rejection = event(error_body("too long", "invalid_request_error", 400))
    upstream.on("one", stream(ROLE, hold(go_on), rejection))

    async with tuned_door.post(json.dumps(hello(stream=True)).encode()) as response:
        await response.content.readexactly(len(COMMENT))
        go_on.set()
        rest = await response.read()

    error = json.loads(rest.decode().strip().split("\n\n")[-1].removeprefix("data: "))["error"]
    assert (error["type"], error["message"]) == ("invalid_request_error", "too long")
