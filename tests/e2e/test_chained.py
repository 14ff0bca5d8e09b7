"""One llmbase before another: whatever holds at the inner doors holds at the outer ones."""

from __future__ import annotations

import asyncio
import base64
import json
import signal
import time
from collections.abc import AsyncIterator, Callable, Iterator
from pathlib import Path

import pytest

from tests.conftest import Door, Entrance, check_end
from tests.support import deployments
from tests.support.answers import Answer, Failure
from tests.support.asking import hello
from tests.support.config import KEY
from tests.support.deployments import Deployment
from tests.support.grpc_door import GrpcDoor
from tests.support.openai_wire import (
    Call,
    encode,
    error_body,
    event,
    refuses,
    says,
    stream,
    unary,
)
from tests.support.rest_door import RestDoor
from tests.support.scripted_upstream import Exchange, ScriptedUpstream
from tests.support.scripts import Piece, Script, cut, hold, stall
from tests.support.signals import Signal

ROLE, HEL, LO, FINISH, USAGE, DONE = says("Hel", "lo").events()
WITHIN = 0.2  # seconds: the bound of the API's contract
ROUNDS = 5  # the machine may be busy: the best of these must be in time
TOOL = {"type": "function", "function": {"name": "prune", "parameters": {"type": "object"}}}


@pytest.fixture(scope="module")
def chain(
    _upstream: ScriptedUpstream, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Deployment]:
    """The two processes; both must stop in order, and without a fault of their own."""
    directory = tmp_path_factory.mktemp("chain")
    with deployments.chained(_upstream, directory, idle="600ms") as deployment:
        yield deployment
        check_end(deployment)


@pytest.fixture(params=["grpc", "rest"])
async def outer(
    request: pytest.FixtureRequest, chain: Deployment, upstream: ScriptedUpstream
) -> AsyncIterator[Door]:
    """Each door of the outer process in turn."""
    async with Entrance(request.param, chain).open(KEY) as door:
        yield door


def _failure(answer: Answer) -> Failure:
    assert answer.failure is not None, answer
    return answer.failure


async def test_an_answer_comes_through_with_its_usage_and_both_routes(
    outer: Door, streamed: bool, upstream: ScriptedUpstream
) -> None:
    upstream.on("one", says("Hel", "lo", reasoning=["hm"]))

    answer = await outer.ask(hello(stream=streamed, seed=7))

    assert answer.complete
    assert (answer.text, answer.choices[0].reasoning, answer.finish) == ("Hello", "hm", "stop")
    assert answer.usage is not None
    assert (answer.usage.prompt, answer.usage.total, answer.usage.estimated) == (12, 15, False)
    assert answer.model == "test/one"
    route = answer.route
    assert route is not None
    assert (route.requested, route.served) == ("test/one", "test/one")
    assert (route.provider, route.attempts, route.fallback) == ("far/alpha", 1, False)
    assert upstream.requests[0].json["seed"] == 7


async def test_deltas_keep_their_boundaries(outer: Door, upstream: ScriptedUpstream) -> None:
    upstream.on("one", says("Hel", "lo", " you"))

    answer = await outer.ask(hello(stream=True))

    assert [delta.text for delta in answer.deltas] == ["Hel", "lo", " you", None]


async def test_usage_that_the_inner_one_estimated_stays_marked(
    outer: Door, streamed: bool, upstream: ScriptedUpstream
) -> None:
    upstream.on("one", says("Hello", usage=None))

    answer = await outer.ask(hello(stream=streamed))

    assert answer.usage is not None and answer.usage.estimated


async def test_attempts_are_those_of_both(
    outer: Door, streamed: bool, upstream: ScriptedUpstream
) -> None:
    upstream.on("first", refuses(500))
    upstream.on("second", says("Hello"))

    route = (await outer.ask(hello("test/two", stream=streamed))).route

    assert route is not None
    assert (route.provider, route.attempts) == ("far/beta", 2)


async def test_a_fallback_of_the_inner_one_is_said_under_our_models_name(
    outer: Door, streamed: bool, upstream: ScriptedUpstream
) -> None:
    upstream.on("gone", refuses(500))
    upstream.on("understudy", says("Hello"))

    answer = await outer.ask(hello("test/gone", stream=streamed))

    route = answer.route
    assert route is not None
    assert (answer.model, route.served) == ("test/gone", "test/gone")
    assert (route.fallback, route.reason) == (True, "model_unavailable")
    assert route.chain == ("test/gone", "test/understudy")


async def test_a_caller_that_forbids_fallback_gets_none_there_either(
    outer: Door, streamed: bool, upstream: ScriptedUpstream
) -> None:
    upstream.on("gone", refuses(500))
    headers = {"X-LLMBase-Fallback": "off"}

    answer = await outer.ask(hello("test/gone", stream=streamed), headers=headers)

    assert answer.code == "all_providers_failed"
    assert [request.model for request in upstream.requests] == ["gone"]


async def test_opaque_state_goes_both_ways(
    outer: Door, streamed: bool, upstream: ScriptedUpstream
) -> None:
    signature = {"google": {"thought_signature": "c2lnbmVk"}}
    whole = json.loads(says(calls=[Call("c1", "prune")]).body())
    call = whole["choices"][0]["message"]["tool_calls"][0]
    call["extra_content"] = signature
    delta = {"index": 0, "delta": {"tool_calls": [{"index": 0, **call}]}, "finish_reason": None}
    finish = {"index": 0, "delta": {}, "finish_reason": "tool_calls"}
    events = [event({"id": "x", "choices": [part]}) for part in (delta, finish)]
    upstream.on("one", stream(*events, DONE) if streamed else unary(encode(whole)))
    answer = await outer.ask(hello(stream=streamed, tools=[TOOL]))
    (made,) = answer.choices[0].calls
    assert made.state

    upstream.on("one", says("done"))
    function = {"name": made.name, "arguments": made.arguments}
    calls = [{"id": made.id, "type": "function", "function": function} | _state(made.state)]
    turns = [
        {"role": "user", "content": "Prune."},
        {"role": "assistant", "tool_calls": calls},
        {"role": "tool", "tool_call_id": made.id, "content": "pruned"},
    ]
    again = {"model": "test/one", "messages": turns, "tools": [TOOL], "stream": streamed}
    assert (await outer.ask(again)).text == "done"

    sent = upstream.requests[1].json["messages"][1]["tool_calls"][0]
    assert sent["extra_content"] == signature


def _state(state: bytes) -> dict[str, str]:
    return {"provider_state": base64.b64encode(state).decode()}


async def test_what_the_provider_says_of_the_request_reaches_the_caller(
    outer: Door, streamed: bool, upstream: ScriptedUpstream
) -> None:
    upstream.on("one", refuses(400, "max_tokens is too large"))

    failure = _failure(await outer.ask(hello("chain/one-first", stream=streamed)))

    assert (failure.status, failure.code) == (400, "rejected_by_provider")
    assert failure.message == "max_tokens is too large"
    assert [request.model for request in upstream.requests] == ["one"]


async def test_a_field_that_the_inner_one_refuses_keeps_its_name(
    outer: Door, streamed: bool, upstream: ScriptedUpstream
) -> None:
    failure = _failure(await outer.ask(hello("test/plain", stream=streamed, tools=[TOOL])))

    assert (failure.status, failure.code) == (400, "rejected_by_provider")
    assert failure.param == "tools"
    assert upstream.requests == []


@pytest.mark.parametrize("why", ["dead", "unknown", "stranger", "narrow", "hasty"])
async def test_what_is_the_inner_ones_own_fault_another_target_makes_good(
    why: str, outer: Door, streamed: bool, upstream: ScriptedUpstream
) -> None:
    upstream.on("hasty", Script(before=[stall]))
    upstream.on("near", says("Hello"))

    answer = await outer.ask(hello(f"chain/{why}-first", stream=streamed))

    assert answer.text == "Hello"
    assert answer.route is not None
    assert (answer.route.provider, answer.route.attempts) == ("near", 2)


@pytest.mark.parametrize("why", ["dead", "unknown", "stranger", "narrow", "hasty"])
async def test_without_another_target_it_is_a_provider_that_failed(
    why: str, outer: Door, streamed: bool, upstream: ScriptedUpstream
) -> None:
    upstream.on("hasty", Script(before=[stall]))

    failure = _failure(await outer.ask(hello(f"chain/{why}", stream=streamed)))

    assert (failure.status, failure.code) == (502, "all_providers_failed")


async def test_the_wait_that_a_provider_asks_for_is_told_at_the_outer_door(
    outer: Door, streamed: bool, upstream: ScriptedUpstream
) -> None:
    upstream.on("one", refuses(429, Retry_After="7"))

    failure = _failure(await outer.ask(hello(stream=streamed)))

    assert (failure.status, failure.retry_after) == (502, 7)


@pytest.mark.parametrize(
    ("rest", "code"),
    [
        pytest.param([cut], "upstream_truncated", id="cut"),
        pytest.param([stall], "upstream_stalled", id="stalled"),
        pytest.param([event(error_body("overloaded"))], "upstream_error", id="error"),
    ],
)
async def test_a_stream_that_breaks_ends_as_what_it_is(
    rest: list[Piece], code: str, outer: Door, upstream: ScriptedUpstream
) -> None:
    upstream.on("brisk", stream(ROLE, HEL, *rest))

    answer = await outer.ask(hello("test/brisk", stream=True))

    assert answer.code == code
    assert (answer.text, answer.finish, answer.complete) == ("Hel", None, False)


async def test_a_silent_inner_one_is_noticed_by_the_outer_ones_own_limit(
    outer: Door, upstream: ScriptedUpstream
) -> None:
    upstream.on("one", stream(ROLE, HEL, stall))

    answer = await outer.ask(hello(stream=True))

    assert answer.code == "upstream_stalled"
    await upstream.exchanges[0].left.wait(timeout=5)


async def test_the_callers_deadline_ends_both(
    outer: Door, streamed: bool, upstream: ScriptedUpstream
) -> None:
    upstream.on("one", Script(before=[stall]))
    body = hello("chain/one-first", stream=streamed)

    began = time.monotonic()
    if isinstance(outer, GrpcDoor):
        answer = await outer.ask(body, timeout=0.5)
    else:
        answer = await outer.ask(body, headers={"X-Request-Timeout": "0.5"})

    failure = _failure(answer)
    assert (failure.status, failure.code) == (504, "deadline_exceeded")
    assert time.monotonic() - began < 2
    await upstream.exchanges[0].left.wait(timeout=5)
    assert [request.model for request in upstream.requests] == ["one"]


@pytest.mark.parametrize(
    ("script", "streamed", "begun"),
    [
        pytest.param(Script(before=[stall]), False, False, id="whole"),
        pytest.param(Script(before=[stall]), True, False, id="before the first content"),
        pytest.param(stream(ROLE, HEL, stall), True, True, id="after the first content"),
    ],
)
async def test_when_the_caller_leaves_the_provider_behind_both_is_released(
    script: Script, streamed: bool, begun: bool, outer: Door, upstream: ScriptedUpstream
) -> None:
    async def leave() -> float:
        upstream.reset()
        upstream.on("one", script)
        first = Signal()
        asking = asyncio.create_task(outer.ask(hello(stream=streamed), first=first))
        exchange = await upstream.arrival(1)
        if begun:
            await first.wait()
        took = await _seconds_to_release(exchange, asking.cancel)
        with pytest.raises(asyncio.CancelledError):
            await asking
        return took

    assert min([await leave() for _ in range(ROUNDS)]) < WITHIN


async def _seconds_to_release(exchange: Exchange, let_go: Callable[[], object]) -> float:
    left_at = time.monotonic()
    let_go()
    return await exchange.left.wait(timeout=5) - left_at


async def test_the_inner_ones_drain_lets_open_answers_end_and_sends_new_ones_elsewhere(
    streamed: bool, upstream: ScriptedUpstream, tmp_path: Path
) -> None:
    go_on = Signal()
    whole = unary(says("Hel", "lo").body())
    held = Script(whole.pieces, headers=whole.headers, before=[hold(go_on)])
    rest = (hold(go_on), LO, FINISH, USAGE, DONE)
    upstream.on("one", stream(ROLE, HEL, *rest) if streamed else held, says("far"))
    upstream.on("near", says("near"))

    with deployments.chained(upstream, tmp_path, unix=True) as deployment:
        _, inner = deployment.processes
        async with RestDoor(deployment.http, KEY) as door:
            task = asyncio.create_task(door.ask(hello("chain/one-first", stream=streamed)))
            await upstream.arrival(1)
            inner.send(signal.SIGTERM)

            # The open call holds the inner process, which refuses all others from some moment on.
            async with asyncio.timeout(5):
                while (await door.ask(hello("chain/one-first"))).text != "near":
                    pass
            assert inner.exit_code is None
            go_on.set()
            assert (await task).text == "Hello"
            assert await asyncio.to_thread(inner.wait) == 0

            # And now nobody is there at all.
            answer = await door.ask(hello("chain/one-first", stream=streamed))
            assert answer.text == "near"
            assert answer.route is not None and answer.route.attempts == 2


async def test_an_inner_one_that_dies_cuts_the_stream_and_does_not_end_it(
    upstream: ScriptedUpstream, tmp_path: Path
) -> None:
    upstream.on("one", stream(ROLE, HEL, stall))

    with deployments.chained(upstream, tmp_path) as deployment:
        _, inner = deployment.processes
        async with RestDoor(deployment.http, KEY) as door:
            first = Signal()
            task = asyncio.create_task(door.ask(hello(stream=True), first=first))
            await first.wait()
            inner.send(signal.SIGKILL)
            answer = await task

    assert answer.code == "upstream_truncated"
    assert (answer.text, answer.finish, answer.complete) == ("Hel", None, False)
