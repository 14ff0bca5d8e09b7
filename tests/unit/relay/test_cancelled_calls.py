"""Calls that are cancelled, dropped or late leave nothing behind at either end."""

from __future__ import annotations

import asyncio
import gc
import random
from typing import Any

import pytest
from google.protobuf.wrappers_pb2 import StringValue

from channel.calls import UnaryStreamCall
from channel.rpc import Rpc
from relay.remote_call import RemoteCall
from relay.served_call import ServedCall
from tests.unit.channel.doors import text_of
from tests.unit.relay.pipes import Relayed, outcome, relayed, settled

CALLS = 10_000
AT_ONCE = 100


async def write(request: StringValue, context: Any) -> None:
    for _ in range(3):
        await context.write(text_of("x" * 100))
        await asyncio.sleep(0)
    await asyncio.Event().wait()


async def wait(request: StringValue, context: Any) -> StringValue:
    await asyncio.Event().wait()
    return request


async def test_ten_thousand_cancelled_calls_leave_nothing() -> None:
    chance = random.Random(5)
    async with relayed(listen=write, ask=wait) as both:
        for _ in range(CALLS // AT_ONCE):
            await asyncio.gather(*(_cancelled(both, chance) for _ in range(AT_ONCE)))
        await settled()
        assert (both.client.calls, both.server.calls) == (0, 0)
        assert both.servicers.calls_of(both.server._outbox) == []
        assert both.client._outbox.waiting == both.server._outbox.waiting == 0
        both.pipe.up.seen.clear()
        both.pipe.down.seen.clear()
        gc.collect()
        left = [it for it in gc.get_objects() if isinstance(it, RemoteCall | ServedCall | Rpc)]
        assert left == []


async def _cancelled(both: Relayed, chance: random.Random) -> None:
    """One call that ends early, somehow, at some time."""
    call = both.listen() if chance.random() < 0.5 else both.ask()
    turns = chance.randrange(12)

    async def read() -> Any:
        return await (call.read() if isinstance(call, UnaryStreamCall) else call)

    reading = asyncio.create_task(read())
    for _ in range(turns):
        await asyncio.sleep(0)
    if chance.random() < 0.5:
        call.cancel()
    else:
        reading.cancel()
    await asyncio.wait([reading])
    assert reading.cancelled() or reading.exception() is None
    call.cancel()


async def test_a_call_that_is_dropped_is_cancelled() -> None:
    ended = asyncio.Event()

    async def wait(request: StringValue, context: Any) -> None:
        try:
            await context.write(request)
            await asyncio.Event().wait()
        finally:
            ended.set()

    async with relayed(listen=wait) as both:
        async for _ in both.listen():
            break
        await asyncio.wait_for(ended.wait(), 5)
        assert both.client.calls == 0


@pytest.mark.parametrize("timeout", [0, -1, 0.01])
async def test_calls_whose_time_runs_out_leave_nothing(timeout: float) -> None:
    async with relayed(ask=wait) as both:
        for _ in range(50):
            await outcome(both.ask(timeout=timeout))
        await settled()
        assert (both.client.calls, both.server.calls) == (0, 0)


async def test_a_deadline_is_the_servers_too_if_its_caller_says_nothing() -> None:
    ended = asyncio.Event()

    async def wait(request: StringValue, context: Any) -> None:
        try:
            await asyncio.Event().wait()
        finally:
            ended.set()

    async with relayed(ask=wait) as both:
        both.pipe.up.seen.clear()
        call = both.ask(timeout=0.05)
        await settled()
        both.pipe.up.open.clear()  # the caller's own cancel frame does not arrive
        await asyncio.wait_for(ended.wait(), 5)
        await outcome(call)
        both.pipe.up.open.set()
