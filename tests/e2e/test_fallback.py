"""A target that fails before its first content is replaced, and the caller sees nothing of it."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass

import pytest

from tests.conftest import Door
from tests.support.asking import hello
from tests.support.config import PROVIDER_KEY
from tests.support.openai_wire import (
    DONE,
    encode,
    error_body,
    event,
    refuses,
    says,
    stream,
    unary,
)
from tests.support.scripted_upstream import ScriptedUpstream
from tests.support.scripts import Framing, Piece, Plan, Script, cut, hold, pause, raw, reset, stall
from tests.support.signals import Signal

ROLE = says("x").events()[0]
HTML = {"Content-Type": "text/html"}


@dataclass(frozen=True)
class Failing:
    """How the first target of a model fails."""

    name: str
    plan: Plan | None
    model: str = "test/two"
    only_streams: bool = False  # nothing like it exists in a whole answer


_OK = b"HTTP/1.1 200 OK\r\n"
_CHUNKS = b"Transfer-Encoding: chunked\r\n\r\n"


def _silent_but_alive() -> Script:
    """Comments for longer than the limit on first content."""
    comments: list[Piece] = [b": keep-alive\n\n", pause(0.05)] * 20
    return stream(*comments, stall)


FAILING = [
    *(
        Failing(f"answers {status}", refuses(status))
        for status in (401, 402, 403, 404, 408, 409, 429, 500, 502, 503, 504, 529)
    ),
    Failing("answers 400 for our key", unary(encode(error_body(code="invalid_api_key")), 400)),
    Failing("begins an error and never ends it", Script([b'{"error":', stall], status=503)),
    Failing("redirects", unary(b"", 307, {"Location": "https://example.com/"})),
    Failing("refuses the connection", None, model="test/dead-first"),
    Failing("closes the connection", raw()),
    Failing("resets the connection", Script(before=[reset])),
    Failing("speaks no HTTP", raw(b"\xff\x00SSH-2.0-garbage\r\n\r\n")),
    Failing("says two lengths", raw(_OK + b"Content-Length: 2\r\nContent-Length: 3\r\n\r\n{}")),
    Failing(
        "says a length and chunks", raw(_OK + b"Content-Length: 9\r\n" + _CHUNKS + b"0\r\n\r\n")
    ),
    Failing("says a chunk that is none", raw(_OK + _CHUNKS + b"zz\r\n", stall)),
    Failing("says a head without an end", raw(_OK, *[b"X: " + b"y" * 1000 + b"\r\n"] * 100, stall)),
    Failing("sends HTML", unary(b"<html>Hello</html>", 200, HTML)),
    Failing("sends garbage", unary(b"{not json")),
    Failing("sends half an answer", Script([says("x").body()[:40], cut], framing=Framing.CLOSE)),
    Failing("sends nothing", unary(b"")),
    Failing("sends an error as 200", unary(encode(error_body("overloaded")))),
    Failing("is silent", Script(before=[stall]), model="test/brisk-first"),
    Failing("is silent after its head", stream(stall), model="test/brisk-first"),
    Failing("sends a role, then nothing", stream(ROLE, stall), "test/brisk-first", True),
    Failing("sends comments only", _silent_but_alive(), "test/brisk-first", True),
    Failing("sends a role and is cut", stream(ROLE, cut), only_streams=True),
    Failing("sends a role and is reset", stream(ROLE, reset), only_streams=True),
    Failing("sends a role and ends", stream(ROLE), only_streams=True),
    Failing("sends a role and [DONE]", stream(ROLE, DONE), only_streams=True),
    Failing("sends comments and is cut", stream(b": hi\n\n" * 3, cut), only_streams=True),
    Failing("sends garbage events", stream(b"data: {oops\n\n"), only_streams=True),
    Failing(
        "sends an error event", stream(ROLE, event(error_body("overloaded"))), only_streams=True
    ),
]


@pytest.mark.parametrize(
    ("failing", "streamed"),
    [
        pytest.param(failing, streamed, id=f"{failing.name}-{'stream' if streamed else 'whole'}")
        for failing in FAILING
        for streamed in (False, True)
        if streamed or not failing.only_streams
    ],
)
async def test_the_next_target_answers_when_the_first_one(
    failing: Failing, door: Door, streamed: bool, upstream: ScriptedUpstream
) -> None:
    if failing.plan is not None:
        upstream.on("first", failing.plan)
    upstream.on("second", says("Hel", "lo"))

    answer = await door.ask(hello(failing.model, stream=streamed))

    assert answer.failure is None
    assert answer.complete
    assert (answer.text, answer.finish) == ("Hello", "stop")
    assert answer.route is not None
    assert (answer.route.provider, answer.route.attempts) == ("beta", 2)
    assert not answer.route.fallback  # that word is for models
    if streamed:
        assert [delta.text for delta in answer.deltas] == ["Hel", "lo", None]
    asked = [request.model for request in upstream.requests]
    assert asked == (["first", "second"] if failing.plan is not None else ["second"])


async def test_targets_are_tried_in_order_each_once(
    door: Door, streamed: bool, upstream: ScriptedUpstream
) -> None:
    upstream.on("first", refuses(500))
    upstream.on("second", refuses(429))
    upstream.on("third", says("Hello"))

    answer = await door.ask(hello("test/three", stream=streamed))

    assert answer.text == "Hello"
    assert [request.path.split("/")[1] for request in upstream.requests] == [
        "alpha",
        "beta",
        "gamma",
    ]


@pytest.mark.parametrize("status", [400, 413, 422])
async def test_a_request_that_the_provider_finds_at_fault_is_the_callers_to_mend(
    status: int, door: Door, streamed: bool, upstream: ScriptedUpstream
) -> None:
    upstream.on("first", refuses(status, f"messages too long; your key {PROVIDER_KEY} is fine"))

    answer = await door.ask(hello("test/two", stream=streamed))

    assert answer.failure is not None
    assert (answer.failure.status, answer.failure.type) == (400, "invalid_request_error")
    assert "messages too long" in answer.failure.message
    assert PROVIDER_KEY not in answer.failure.message
    assert [request.model for request in upstream.requests] == ["first"]


@pytest.mark.parametrize("model", ["test/three", "test/one", "test/dead"])
async def test_when_every_target_fails_the_caller_is_told_to_retry(
    model: str, door: Door, streamed: bool, upstream: ScriptedUpstream
) -> None:
    upstream.otherwise(refuses(503, "secret internals of the provider"))

    answer = await door.ask(hello(model, stream=streamed))

    failure = answer.failure
    assert failure is not None
    assert (failure.status, failure.type, failure.code, failure.param) == (
        502,
        "upstream_error",
        "all_providers_failed",
        None,
    )
    assert failure.message.startswith("All upstream providers failed")
    assert "internals" not in failure.message
    assert failure.retry_after is not None and failure.retry_after >= 1
    assert len(upstream.requests) == {"test/three": 3, "test/one": 1, "test/dead": 0}[model]


@pytest.mark.parametrize("status", [429, 503])
@pytest.mark.parametrize("model", ["test/one", "test/two"])
async def test_how_long_the_provider_asks_to_wait_reaches_the_caller(
    status: int, model: str, door: Door, streamed: bool, upstream: ScriptedUpstream
) -> None:
    upstream.otherwise(refuses(status, Retry_After="17"))

    answer = await door.ask(hello(model, stream=streamed))

    assert answer.failure is not None
    assert (answer.failure.status, answer.failure.retry_after) == (502, 17)


async def test_nothing_is_sent_to_the_caller_before_the_first_content(
    door: Door, upstream: ScriptedUpstream
) -> None:
    role, content, *rest = says("Hello").events()
    seen, go_on = Signal(), Signal()
    upstream.on("first", stream(role, cut))
    upstream.on("second", stream(role, hold(go_on), content, *rest))

    task = asyncio.create_task(door.ask(hello("test/two", stream=True), first=seen))
    await upstream.arrival(2)
    assert seen.at is None
    go_on.set()
    answer = await task

    assert seen.at is not None and go_on.at is not None
    assert seen.at >= go_on.at
    assert answer.text == "Hello"


class TestModelFallback:
    """Another model answers when all targets of the requested one have failed."""

    @pytest.fixture(autouse=True)
    def _plans(self, upstream: ScriptedUpstream) -> None:
        upstream.on("gone", refuses(500))
        upstream.on("understudy", says("Hello"))

    async def test_the_answer_says_which_model_it_is_from(
        self, door: Door, streamed: bool, upstream: ScriptedUpstream
    ) -> None:
        answer = await door.ask(hello("test/gone", stream=streamed))

        assert answer.text == "Hello"
        assert answer.model == "test/understudy"
        route = answer.route
        assert route is not None
        assert (route.requested, route.served) == ("test/gone", "test/understudy")
        assert (route.provider, route.attempts) == ("beta", 2)
        assert (route.fallback, route.reason) == (True, "model_unavailable")
        assert route.chain == ("test/gone", "test/understudy")

    @pytest.mark.parametrize("word", ["off", "OFF"])
    async def test_the_caller_can_forbid_it(
        self, word: str, door: Door, streamed: bool, upstream: ScriptedUpstream
    ) -> None:
        headers = {"X-LLMBase-Fallback": word}

        answer = await door.ask(hello("test/gone", stream=streamed), headers=headers)

        assert answer.code == "all_providers_failed"
        assert [request.model for request in upstream.requests] == ["gone"]

    async def test_it_is_only_to_a_model_that_can_do_what_is_asked(
        self, door: Door, streamed: bool, upstream: ScriptedUpstream
    ) -> None:
        body = hello("test/gone-able", stream=streamed, logprobs=True)
        upstream.on("gone-able", refuses(500))

        answer = await door.ask(body)

        assert answer.code == "all_providers_failed"
        assert [request.model for request in upstream.requests] == ["gone-able"]
