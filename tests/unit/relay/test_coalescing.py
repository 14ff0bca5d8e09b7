"""Frames of many calls share messages, and a call costs as few of them as it can."""

from __future__ import annotations

import asyncio
from typing import Any

from google.protobuf.wrappers_pb2 import StringValue

from tests.unit.channel.doors import texts
from tests.unit.relay.pipes import relayed


async def echo(request: StringValue, context: Any) -> StringValue:
    return request


async def test_calls_that_begin_in_one_turn_share_a_message_each_way() -> None:
    async with relayed(ask=echo) as both:
        both.pipe.up.seen.clear()
        both.pipe.down.seen.clear()
        calls = [both.ask(str(number)) for number in range(50)]
        assert [(await call).value for call in calls] == [str(number) for number in range(50)]
        assert len(both.pipe.up.seen) == 1
        assert len(both.pipe.down.seen) == 1
        assert both.pipe.up.kinds() == ["whole_request"] * 50
        assert both.pipe.down.kinds() == ["whole_answer"] * 50


async def test_what_one_turn_makes_ready_in_many_streams_is_one_message() -> None:
    go_on = asyncio.Event()

    async def write(request: StringValue, context: Any) -> None:
        await context.write(request)
        await go_on.wait()
        await context.write(request)
        await asyncio.Event().wait()

    async with relayed(listen=write) as both:
        streams = [both.listen(str(it)) for it in range(20)]
        for it in streams:
            await it.read()
        both.pipe.down.seen.clear()
        go_on.set()
        for it in streams:
            await it.read()
        assert [len(message.frames) for message in both.pipe.down.seen] == [20]


async def test_credit_is_given_back_for_much_that_was_read_and_not_for_each_message() -> None:
    async def write(request: StringValue, context: Any) -> None:
        for _ in range(1000):
            await context.write(request)

    async with relayed(listen=write) as both:
        assert len(await texts(both.listen("x" * 200))) == 1000
        assert 4 <= both.pipe.up.kinds().count("credit") <= 10
