"""Calls of one turn do each stage one after the other; a call alone is not held up."""

from __future__ import annotations

import asyncio

from wire.cohort import Cohort


async def _call(cohort: Cohort, name: str, done: list[str]) -> None:
    cohort.arrive()
    for stage in "123":
        done.append(name + stage)
        if cohort.several:
            await cohort.stage()


async def test_calls_of_one_turn_take_their_stages_together() -> None:
    cohort, done = Cohort(), list[str]()
    await asyncio.gather(*(_call(cohort, name, done) for name in "ab"))
    await asyncio.gather(*(_call(cohort, name, done) for name in "cd"))
    # Only a turn that is over can tell the first of a cohort that others come.
    assert done[-6:] == ["c1", "d1", "c2", "d2", "c3", "d3"]


async def test_a_call_alone_runs_through() -> None:
    cohort, done = Cohort(), list[str]()
    for name in "ab":
        coroutine = _call(cohort, name, done)
        try:
            coroutine.send(None)
        except StopIteration:
            pass
        else:
            raise AssertionError(f"{name} waited")
        await asyncio.sleep(0)
    assert done == ["a1", "a2", "a3", "b1", "b2", "b3"]


async def test_who_comes_alone_after_many_waits_for_nobody_after_that() -> None:
    cohort, done = Cohort(), list[str]()
    await asyncio.gather(*(_call(cohort, name, done) for name in "abc"))
    await _call(cohort, "d", done)
    await asyncio.sleep(0)
    coroutine = _call(cohort, "e", done)
    ended = False
    try:
        coroutine.send(None)
    except StopIteration:
        ended = True
    assert ended


async def test_a_call_can_be_cancelled_between_its_stages() -> None:
    cohort, done = Cohort(), list[str]()
    calls = [asyncio.ensure_future(_call(cohort, name, done)) for name in "ab"]
    await asyncio.sleep(0)
    calls[1].cancel()
    await asyncio.wait(calls)
    assert calls[1].cancelled()
    assert done == ["a1", "a2", "a3", "b1"]
