"""Requests that go in parts: what passes, and what is left of one whose caller leaves."""

from __future__ import annotations

import asyncio
from typing import Any

import grpc
import pytest
from google.protobuf.wrappers_pb2 import StringValue

from relay.frames import LARGEST_REQUEST
from tests.unit.channel.doors import text_of
from tests.unit.relay.pipes import LARGEST, outcome, relayed, settled

LARGE = "x" * (3 * LARGEST_REQUEST)


async def length(request: StringValue, context: Any) -> StringValue:
    return text_of(str(len(request.value)))


@pytest.mark.parametrize("size", [LARGEST_REQUEST - 4, LARGEST_REQUEST - 3, len(LARGE)])
async def test_no_frame_is_larger_than_the_largest_request(size: int) -> None:
    async with relayed(ask=length) as both:
        assert (await both.ask("x" * size)).value == str(size)
        frames = both.pipe.up.frames
        assert max(len(it.part) + len(it.message) for it in frames) <= LARGEST_REQUEST
        told = [kind for kind in both.pipe.up.kinds() if kind != "credit"]
        parts = told[1:-2]
        assert told == ["open", *parts, "message", "half_close"]
        assert set(parts) <= {"part"}
        assert bool(parts) == (size > LARGEST_REQUEST - 4)  # the text's own frame is four bytes


async def test_a_small_call_does_not_wait_for_a_large_one() -> None:
    async with relayed(ask=length) as both:
        both.pipe.up.open.clear()
        large = asyncio.ensure_future(outcome(both.ask(LARGE)))
        await settled()
        small = asyncio.ensure_future(outcome(both.ask("small")))
        await settled()
        both.pipe.up.open.set()
        assert (await small).value == "5"
        assert (await large).value == str(len(LARGE))
        ends = [it.call for it in both.pipe.up.frames if it.half_close]
        assert ends == [2, 1]


@pytest.mark.parametrize("how", ["cancel", "deadline"])
async def test_the_rest_is_not_sent_for_a_caller_that_has_left(how: str) -> None:
    async with relayed(ask=length) as both:
        both.pipe.up.open.clear()
        call = both.ask(LARGE, timeout=0.01 if how == "deadline" else None)
        await settled()
        if how == "cancel":
            call.cancel()
        ended = await outcome(call)
        both.pipe.up.open.set()
        await settled()
        assert isinstance(ended, asyncio.CancelledError | grpc.aio.AioRpcError)
        assert both.pipe.up.kinds().count("part") == 1
        assert "message" not in both.pipe.up.kinds()
        assert (both.client.calls, both.server.calls) == (0, 0)
        assert not both.client._outbox._long
        assert (await both.ask("next")).value == "4"


async def test_a_request_over_the_servers_limit_is_not_relayed() -> None:
    async with relayed(ask=length) as both:
        assert both.client.takes(LARGEST)
        assert not both.client.takes(LARGEST + 1)
        assert not both.client.takes(LARGEST, metadata=LARGEST_REQUEST)
