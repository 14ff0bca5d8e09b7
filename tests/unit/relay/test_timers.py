"""Timers at both ends of a relay, at their full length in virtual time."""

from __future__ import annotations

import asyncio
from typing import Any

import grpc
from google.protobuf.wrappers_pb2 import StringValue

from relay.server import RelayServer
from tests.unit.relay.pipes import LARGEST, Pipe, ServerEnd, outcome, relayed, settled
from tests.unit.virtual_time import in_virtual_time, now


class Waiting:
    """A handler that says when it was ended."""

    def __init__(self) -> None:
        self.ended_at: float | None = None

    async def __call__(self, request: StringValue, context: Any) -> StringValue:
        try:
            await asyncio.Event().wait()
        finally:
            self.ended_at = now()
        raise AssertionError


@in_virtual_time
async def test_a_call_ends_at_its_deadline_at_both_ends() -> None:
    handler = Waiting()
    async with relayed(ask=handler) as both:
        error = await outcome(both.ask(timeout=30))
        assert error.code() is grpc.StatusCode.DEADLINE_EXCEEDED
        await settled()
        assert (now(), handler.ended_at) == (30, 30)


@in_virtual_time
async def test_each_end_keeps_the_deadline_though_the_other_is_not_heard() -> None:
    handler = Waiting()
    async with relayed(ask=handler) as both:
        call = both.ask(timeout=30)
        await settled()
        both.pipe.up.open.clear()
        both.pipe.down.open.clear()
        error = await outcome(call)
        assert error.code() is grpc.StatusCode.DEADLINE_EXCEEDED
        await settled()
        assert (now(), handler.ended_at) == (30, 30)
        both.pipe.up.open.set()
        both.pipe.down.open.set()


@in_virtual_time
async def test_a_server_that_stops_gives_callers_half_a_second_to_end_their_streams() -> None:
    server = RelayServer(LARGEST)
    carrying = asyncio.create_task(server.carry(ServerEnd(Pipe())))
    await settled()
    await server.stop(20)
    assert now() == 0.5
    await carrying
