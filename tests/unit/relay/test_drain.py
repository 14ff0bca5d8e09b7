"""A stream ends by protocol: drain, no new calls, half-close, the end."""

from __future__ import annotations

import asyncio
from typing import Any

import grpc
import pytest
from google.protobuf.wrappers_pb2 import StringValue

from tests.unit.channel.doors import text_of, texts
from tests.unit.relay.pipes import outcome, relayed, settled


async def test_a_stream_without_calls_ends_at_once() -> None:
    async with relayed() as both:
        both.server.drain()
        await asyncio.wait_for(both.carrying, 5)
        await asyncio.wait_for(both.serving, 5)
        assert both.pipe.half_closed.is_set()
        assert both.pipe.down.kinds() == ["welcome", "drain"]


async def test_open_calls_go_on_and_the_last_one_ends_the_stream() -> None:
    go_on = asyncio.Event()

    async def write(request: StringValue, context: Any) -> None:
        await context.write(text_of("before"))
        await go_on.wait()
        await context.write(text_of("after"))

    async with relayed(listen=write) as both:
        reading = [asyncio.create_task(texts(both.listen())) for _ in range(3)]
        await settled()
        both.server.drain()
        await settled()
        assert not both.client.takes(0)
        assert not both.pipe.half_closed.is_set()
        go_on.set()
        assert [await it for it in reading] == [["before", "after"]] * 3
        await asyncio.wait_for(both.serving, 5)
        await asyncio.wait_for(both.carrying, 5)


@pytest.mark.parametrize("how", ["cancel", "deadline"])
async def test_a_call_that_its_caller_ends_counts_as_ended(how: str) -> None:
    async def wait(request: StringValue, context: Any) -> None:
        await asyncio.Event().wait()

    async with relayed(ask=wait) as both:
        call = both.ask(timeout=0.05 if how == "deadline" else None)
        await settled()
        both.server.drain()
        await settled()
        if how == "cancel":
            call.cancel()
        await outcome(call)
        await asyncio.wait_for(both.serving, 5)


async def test_a_call_that_crosses_the_drain_is_refused_and_not_lost() -> None:
    async def echo(request: StringValue, context: Any) -> StringValue:
        return request

    async with relayed(ask=echo) as both:
        stopping = asyncio.create_task(both.servicers.stop(30))
        await settled()
        both.server.drain()
        call = both.ask()  # the caller has not heard of it yet
        error = await outcome(call)
        assert (error.code(), error.details()) == (
            grpc.StatusCode.UNAVAILABLE,
            "The server is stopping.",
        )
        await asyncio.wait_for(both.serving, 5)
        await stopping


async def test_a_caller_that_retires_ends_the_stream_when_its_last_call_has_ended() -> None:
    go_on = asyncio.Event()

    async def wait(request: StringValue, context: Any) -> StringValue:
        await go_on.wait()
        return request

    async with relayed(ask=wait) as both:
        call = both.ask("whole")
        await settled()
        both.client.retire()
        await settled()
        assert not both.client.takes(0)
        go_on.set()
        assert (await call).value == "whole"
        await asyncio.wait_for(both.serving, 5)
        await asyncio.wait_for(both.carrying, 5)


async def test_a_caller_that_does_not_half_close_is_left() -> None:
    async with relayed() as both:
        both.server.close()
        await asyncio.wait_for(both.serving, 5)
