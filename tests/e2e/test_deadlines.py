"""Time limits: the caller's deadline and the provider's four, each kept and each told apart."""

from __future__ import annotations

import time
from typing import Any

import pytest

from tests.conftest import Door
from tests.support.answers import Answer
from tests.support.asking import hello
from tests.support.grpc_door import GrpcDoor
from tests.support.openai_wire import says, stream
from tests.support.scripted_upstream import ScriptedUpstream
from tests.support.scripts import Piece, Script, pause, stall

ROLE, HEL, LO, FINISH, USAGE, DONE = says("Hel", "lo").events()
DEADLINE = 0.5  # seconds
SLACK = 1.5  # seconds that a busy machine may add
TIMED_OUT = (504, "timeout_error", "deadline_exceeded", None)


async def _ask_within(door: Door, seconds: float, body: dict[str, Any]) -> tuple[Answer, float]:
    """The answer and how long it took; gRPC and REST have each their way to set a deadline."""
    began = time.monotonic()
    if isinstance(door, GrpcDoor):
        answer = await door.ask(body, timeout=seconds)
    else:
        answer = await door.ask(body, headers={"X-Request-Timeout": str(seconds)})
    return answer, time.monotonic() - began


def _check_timed_out(answer: Answer) -> None:
    failure = answer.failure
    assert failure is not None
    assert (failure.status, failure.type, failure.code, failure.param) == TIMED_OUT


async def test_the_callers_deadline_ends_the_wait_for_the_first_content(
    door: Door, streamed: bool, upstream: ScriptedUpstream
) -> None:
    upstream.on("first", Script(before=[stall]))

    answer, took = await _ask_within(door, DEADLINE, hello("test/two", stream=streamed))

    _check_timed_out(answer)
    assert DEADLINE * 0.9 <= took < DEADLINE + SLACK
    exchange = await upstream.arrival(1)
    await exchange.left.wait(timeout=5)
    assert [request.model for request in upstream.requests] == ["first"]


async def test_the_callers_deadline_ends_a_stream_that_has_begun(
    door: Door, upstream: ScriptedUpstream
) -> None:
    upstream.on("one", stream(ROLE, HEL, stall))

    answer, took = await _ask_within(door, DEADLINE, hello(stream=True))

    _check_timed_out(answer)
    assert (answer.text, answer.finish, answer.complete) == ("Hel", None, False)
    assert took < DEADLINE + SLACK
    await upstream.exchanges[0].left.wait(timeout=5)


async def test_a_deadline_that_is_kept_changes_nothing(
    door: Door, streamed: bool, upstream: ScriptedUpstream
) -> None:
    upstream.on("one", says("Hello"))

    answer, _ = await _ask_within(door, 20, hello(stream=streamed))

    assert answer.text == "Hello"


@pytest.mark.parametrize("model", ["test/hasty", "test/hasty-first"])
async def test_a_providers_total_limit_is_the_end_of_the_call(
    model: str, door: Door, streamed: bool, upstream: ScriptedUpstream
) -> None:
    upstream.otherwise(Script(before=[stall]))

    began = time.monotonic()
    answer = await door.ask(hello(model, stream=streamed))

    _check_timed_out(answer)
    assert time.monotonic() - began < 0.5 + SLACK
    assert len(upstream.requests) == 1
    await upstream.exchanges[0].left.wait(timeout=5)


async def test_a_providers_total_limit_ends_a_stream_that_flows(
    door: Door, upstream: ScriptedUpstream
) -> None:
    flow: list[Piece] = [HEL, pause(0.02)] * 500
    upstream.on("hasty", stream(ROLE, *flow))

    answer = await door.ask(hello("test/hasty", stream=True))

    _check_timed_out(answer)
    assert answer.text is not None and answer.text.startswith("HelHel")
    assert not answer.complete
    await upstream.exchanges[0].left.wait(timeout=5)


@pytest.mark.parametrize("alive", ["silence", "roles", "comments"])
async def test_only_content_counts_as_first_content(
    alive: str, door: Door, upstream: ScriptedUpstream
) -> None:
    signs: dict[str, list[Piece]] = {
        "silence": [],
        "roles": [ROLE, pause(0.05)] * 100,
        "comments": [b": wait\n\n", pause(0.05)] * 100,
    }
    upstream.on("brisk", stream(*signs[alive], stall))

    began = time.monotonic()
    answer = await door.ask(hello("test/brisk", stream=True))

    assert answer.code == "all_providers_failed"
    assert 0.35 <= time.monotonic() - began < 0.4 + SLACK


async def test_a_whole_answer_is_held_to_the_first_content_limit_where_one_is_set(
    door: Door, upstream: ScriptedUpstream
) -> None:
    upstream.on("brisk", Script([b'{"id":', stall]))

    began = time.monotonic()
    answer = await door.ask(hello("test/brisk"))

    assert answer.code == "all_providers_failed"
    assert time.monotonic() - began < 0.4 + SLACK


async def test_a_stream_may_take_longer_than_any_silence_in_it_may(
    door: Door, upstream: ScriptedUpstream
) -> None:
    slow: list[Piece] = [HEL, pause(0.2)] * 6
    upstream.on("brisk", stream(ROLE, *slow, FINISH, USAGE, DONE))

    answer = await door.ask(hello("test/brisk", stream=True))

    assert answer.complete
    assert answer.text == "Hel" * 6


@pytest.mark.parametrize("value", ["soon", "-1", "0", "nan", "inf"])
async def test_a_deadline_that_is_no_time_is_refused(
    value: str, any_rest_door: Door, upstream: ScriptedUpstream
) -> None:
    answer = await any_rest_door.ask(hello(), headers={"X-Request-Timeout": value})

    assert answer.failure is not None
    assert (answer.failure.status, answer.failure.type) == (400, "invalid_request_error")
    assert not upstream.requests
