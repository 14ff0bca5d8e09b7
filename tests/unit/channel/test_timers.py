"""Timers of the in-process channel, and of calls, at their full length in virtual time."""

from __future__ import annotations

import asyncio
from typing import Any

import grpc
import pytest
from google.protobuf.wrappers_pb2 import StringValue

from tests.unit.channel.doors import IN_PROCESS, failure, open_door, result_of, text_of
from tests.unit.virtual_time import in_virtual_time, now, timers

DEADLINE_EXCEEDED = grpc.StatusCode.DEADLINE_EXCEEDED


class Handlers:
    """A unary and a streaming handler that take `seconds`; says when which of them was ended."""

    def __init__(self, seconds: float) -> None:
        self.seconds = seconds
        self.cancelled: list[float] = []

    async def ask(self, request: StringValue, context: Any) -> StringValue:
        try:
            await asyncio.sleep(self.seconds)
        except asyncio.CancelledError:
            self.cancelled.append(now())
            raise
        return text_of("done")

    async def listen(self, request: StringValue, context: Any) -> None:
        await context.write(text_of("first"))
        await context.write(await self.ask(request, context))


@in_virtual_time
async def test_a_call_ends_at_its_deadline_and_so_does_its_handler() -> None:
    handlers = Handlers(1000)
    async with open_door(IN_PROCESS, ask=handlers.ask, listen=handlers.listen) as door:
        answer = asyncio.create_task(result_of(door.ask(timeout=30)))
        stream = door.listen(timeout=40)
        await stream.read()
        await asyncio.sleep(25)
        assert stream.time_remaining() == 15
        assert (await failure(answer)).code() is DEADLINE_EXCEEDED
        assert now() == 30
        assert (await failure(stream.read())).code() is DEADLINE_EXCEEDED
        assert handlers.cancelled == [30, 40]


@in_virtual_time
async def test_a_deadline_that_was_kept_leaves_no_timer() -> None:
    handlers = Handlers(29)
    async with open_door(IN_PROCESS, ask=handlers.ask) as door:
        assert (await door.ask(timeout=30)).value == "done"
        assert timers() == []


@in_virtual_time
async def test_a_server_that_stops_waits_for_its_calls_as_long_as_the_grace() -> None:
    handlers = Handlers(1000)
    async with open_door(IN_PROCESS, ask=handlers.ask) as door:
        answer = asyncio.create_task(result_of(door.ask()))
        await asyncio.sleep(1)
        await door.server.stop(20)
        assert (await failure(answer)).code() is grpc.StatusCode.UNAVAILABLE
        assert (now(), handlers.cancelled) == (21, [21])


@in_virtual_time
async def test_a_server_that_stops_waits_no_longer_than_its_calls_take() -> None:
    handlers = Handlers(5)
    async with open_door(IN_PROCESS, ask=handlers.ask) as door:
        answer = asyncio.create_task(result_of(door.ask()))
        await asyncio.sleep(1)
        await door.server.stop(20)
        assert now() == 5
        assert (await answer).value == "done"


@in_virtual_time
async def test_a_hurried_stop_ends_the_patient_one() -> None:
    handlers = Handlers(1000)
    async with open_door(IN_PROCESS, ask=handlers.ask) as door:
        answer = asyncio.create_task(result_of(door.ask()))
        patient = asyncio.create_task(door.server.stop(60))
        await asyncio.sleep(10)
        await door.server.stop(5)
        await patient
        assert now() == 15
        await failure(answer)


@in_virtual_time
async def test_a_channel_that_closes_waits_for_its_calls_as_long_as_the_grace() -> None:
    handlers = Handlers(1000)
    async with open_door(IN_PROCESS, ask=handlers.ask) as door:
        call = door.ask()
        answer = asyncio.create_task(result_of(call))
        await asyncio.sleep(1)
        await door.channel.close(20)
        with pytest.raises(asyncio.CancelledError):
            await answer
        assert (now(), handlers.cancelled) == (21, [21])


@in_virtual_time
async def test_a_servers_termination_is_waited_for_as_long_as_is_said() -> None:
    async with open_door(IN_PROCESS) as door:
        assert await door.server.wait_for_termination(7) is True
        assert now() == 7
        waiting = asyncio.create_task(door.server.wait_for_termination(7))
        await asyncio.sleep(3)
        await door.server.stop(None)
        assert await waiting is False
        assert now() == 10
