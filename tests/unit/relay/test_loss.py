"""A stream that is lost in any phase of its calls ends them all, with an error they know."""

from __future__ import annotations

import asyncio
from typing import Any

import grpc
import pytest
from google.protobuf.wrappers_pb2 import StringValue

from tests.unit.channel.doors import text_of
from tests.unit.relay.pipes import broken, outcome, relayed, settled

UNAVAILABLE = grpc.StatusCode.UNAVAILABLE


class Handler:
    """Goes on to a phase of its call, and waits there."""

    def __init__(self, phase: str) -> None:
        self.phase = phase
        self.started = asyncio.Event()
        self.ended = asyncio.Event()

    async def run(self, request: StringValue, context: Any) -> None:
        self.started.set()
        try:
            if self.phase != "nothing":
                await context.send_initial_metadata((("early", "1"),))
            if self.phase in {"a message", "many messages"}:
                await context.write(text_of("a"))
            while self.phase == "many messages":
                await context.write(text_of("x" * 1000))
            await asyncio.Event().wait()
        finally:
            self.ended.set()


@pytest.mark.parametrize("phase", ["nothing", "metadata", "a message", "many messages"])
async def test_calls_end_unavailable_and_their_handlers_are_cancelled(phase: str) -> None:
    handler = Handler(phase)
    async with relayed(listen=handler.run) as both:
        call = both.listen()
        await settled()
        assert handler.started.is_set()
        both.lose()
        error = await outcome(_drain(call))
        assert (error.code(), error.details()) == (UNAVAILABLE, "the line is cut")
        assert (call.done(), call.cancelled()) == (True, False)
        await asyncio.wait_for(handler.ended.wait(), 5)
        assert (both.client.calls, both.server.calls) == (0, 0)
        assert not both.client.takes(0)


async def _drain(call: Any) -> None:
    while await call.read() is not grpc.aio.EOF:
        pass


@pytest.mark.parametrize("code", [UNAVAILABLE, grpc.StatusCode.INTERNAL, None])
async def test_however_the_stream_ends_its_calls_are_unavailable(
    code: grpc.StatusCode | None,
) -> None:
    async with relayed(listen=Handler("nothing").run) as both:
        call = both.listen()
        await settled()
        both.pipe.down.end(grpc.aio.EOF if code is None else broken(code))
        error = await outcome(call.read())
        assert error.code() is UNAVAILABLE
        assert tuple(error.trailing_metadata()) == ()
        assert isinstance(await outcome(both.carrying), grpc.aio.AioRpcError | None)


async def test_a_call_whose_frames_have_not_left_ends_like_the_others() -> None:
    async with relayed(ask=Handler("nothing").run) as both:
        both.pipe.up.open.clear()
        first = both.ask()
        await settled()
        second = both.ask()
        both.lose()
        assert (await outcome(first)).code() is UNAVAILABLE
        assert (await outcome(second)).code() is UNAVAILABLE


async def test_an_answer_that_was_there_before_the_loss_is_not_lost() -> None:
    async def echo(request: StringValue, context: Any) -> StringValue:
        return request

    async with relayed(ask=echo) as both:
        call = both.ask("kept")
        await settled()
        both.lose()
        await settled()
        assert (await call).value == "kept"
        assert await call.code() is grpc.StatusCode.OK


async def test_a_loss_before_the_welcome_leaves_nothing_to_end() -> None:
    async with relayed() as both:
        both.lose()
        await outcome(both.carrying)
        assert not both.client.takes(0)


async def test_a_stream_that_takes_nothing_is_no_place_for_new_calls() -> None:
    async with relayed(ask=Handler("nothing").run) as both:
        both.pipe.up.open.clear()
        calls = []
        while both.client.takes(200_000):
            calls.append(both.ask("x" * 200_000))
            assert len(calls) < 100
        assert both.client.takes(0) is False
        for call in calls:
            call.cancel()
