"""More calls than the process takes: some wait, the rest is told at once, none is lost."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.conftest import Door, Entrance
from tests.support import config as configuration
from tests.support import deployments
from tests.support.answers import Answer
from tests.support.asking import hello
from tests.support.config import KEY
from tests.support.openai_wire import says, stream
from tests.support.scripted_upstream import ScriptedUpstream
from tests.support.scripts import Piece, Plan, hold
from tests.support.signals import Signal

ROLE, HEL, LO, FINISH, USAGE, DONE = says("Hel", "lo").events()
BATCH = {"X-LLMBase-Priority": "batch"}


def held(signal: Signal, text: bytes = LO) -> Plan:
    pieces: tuple[Piece, ...] = (ROLE, HEL, hold(signal), text, FINISH, USAGE, DONE)
    return stream(*pieces)


@pytest.fixture(params=["grpc", "rest", "sidecar"])
def entrance(
    request: pytest.FixtureRequest, upstream: ScriptedUpstream, tmp_path: Path
) -> Iterator[Entrance]:
    """Each way in, before a process that takes one call at a time and lets two wait."""
    settings = configuration.standard(upstream)
    settings["admission"] = {"max_in_flight": 1, "max_queued": 2}
    shape = deployments.sidecar if request.param == "sidecar" else deployments.one_process
    with shape(upstream, tmp_path, settings) as deployment:
        yield Entrance(request.param, deployment)


async def _begin(door: Door, upstream: ScriptedUpstream, go_on: Signal) -> asyncio.Task[Answer]:
    """A stream that has the one place until `go_on`."""
    upstream.on("gone", held(go_on))
    begun = Signal()
    task = asyncio.create_task(door.ask(hello("test/gone", stream=True), first=begun))
    await begun.wait()
    return task


def _ask(door: Door, **more: Any) -> asyncio.Task[Answer]:
    return asyncio.create_task(door.ask(hello("test/one"), **more))


async def test_a_call_waits_for_a_place_and_is_then_answered(
    entrance: Entrance, upstream: ScriptedUpstream
) -> None:
    go_on = Signal()
    async with entrance.open(KEY) as door:
        first = await _begin(door, upstream, go_on)
        upstream.on("one", says("Hi"))
        second = _ask(door)
        done, _ = await asyncio.wait([second], timeout=0.3)
        assert not done
        assert len(upstream.requests) == 1
        go_on.set()
        assert (await first).complete
        assert (await second).text == "Hi"


async def test_who_finds_the_queue_full_is_told_when_to_come_back_and_reaches_nobody(
    entrance: Entrance, upstream: ScriptedUpstream
) -> None:
    go_on = Signal()
    async with entrance.open(KEY) as door:
        first = await _begin(door, upstream, go_on)
        upstream.on("one", says("Hi"), says("Hi"))
        waiting = [_ask(door), _ask(door)]
        # Which of the three comes last cannot be known: exactly one is refused.
        waiting.append(_ask(door))
        done, _ = await asyncio.wait(waiting, return_when=asyncio.FIRST_COMPLETED)
        (refused,) = done
        failure = refused.result().failure
        assert failure is not None
        assert (failure.status, failure.type) == (503, "server_error")
        assert failure.retry_after is not None
        assert failure.retry_after >= 1
        go_on.set()
        answers = await asyncio.gather(*waiting)
        assert sorted(answer.failure is None for answer in answers) == [False, True, True]
        await first
    assert [it.model for it in upstream.requests] == ["gone", "one", "one"]


async def test_who_leaves_the_queue_makes_room_and_is_never_asked_for(
    entrance: Entrance, upstream: ScriptedUpstream
) -> None:
    go_on = Signal()
    async with entrance.open(KEY) as door, entrance.open(KEY) as other:
        first = await _begin(door, upstream, go_on)
        upstream.on("one", says("Hi"))
        waits = asyncio.create_task(other.ask(hello("test/dead")))
        done, _ = await asyncio.wait([waits], timeout=0.3)
        assert not done
        waits.cancel()
        await asyncio.wait([waits])
        second = _ask(door)
        go_on.set()
        assert (await first).complete
        assert (await second).text == "Hi"


async def test_a_deadline_that_ends_in_the_queue_is_the_callers_in_time(
    entrance: Entrance, upstream: ScriptedUpstream
) -> None:
    go_on = Signal()
    async with entrance.open(KEY) as door:
        first = await _begin(door, upstream, go_on)
        headers = {"X-Request-Timeout": "0.4"}
        timed = (
            await door.ask(hello("test/one"), timeout=0.4)
            if entrance.kind == "grpc"
            else await door.ask(hello("test/one"), headers=headers)
        )
        assert timed.failure is not None
        assert timed.failure.status == 504
        go_on.set()
        assert (await first).complete
    assert len(upstream.requests) == 1


async def test_who_waits_for_an_answer_comes_before_batch_work_and_a_full_queue_sheds_batch_first(
    entrance: Entrance, upstream: ScriptedUpstream
) -> None:
    go_on = Signal()
    async with entrance.open(KEY) as door:
        first = await _begin(door, upstream, go_on)
        upstream.on("one", says("Hi"), says("Hi"))
        upstream.on("first", says("Hi"))
        batch = [asyncio.create_task(door.ask(hello("test/two"), headers=BATCH)) for _ in range(2)]
        await asyncio.wait(batch, timeout=0.3)
        urgent = _ask(door)  # the queue is full: one of the batch goes
        done, _ = await asyncio.wait(batch, return_when=asyncio.FIRST_COMPLETED)
        (shed,) = done
        failure = shed.result().failure
        assert failure is not None
        assert failure.status == 503
        go_on.set()
        assert (await first).complete
        assert (await urgent).failure is None
        await asyncio.gather(*batch)
    assert [it.model for it in upstream.requests] == ["gone", "one", "first"]


async def test_a_priority_that_is_none_is_refused_by_name(
    entrance: Entrance, upstream: ScriptedUpstream
) -> None:
    async with entrance.open(KEY) as door:
        answer = await door.ask(hello("test/one"), headers={"X-LLMBase-Priority": "urgent"})
    assert answer.failure is not None
    assert answer.failure.status == 400
    assert "x-llmbase-priority" in answer.failure.message
    assert "interactive or batch" in answer.failure.message
    assert not upstream.requests
