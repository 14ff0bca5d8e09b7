"""Requests that go in parts: what passes, and what is left of one whose caller leaves."""

from __future__ import annotations

import asyncio
import gc
import weakref
from typing import Any

import grpc
import pytest
from google.protobuf.wrappers_pb2 import StringValue
from llmbase.relay.v1.relay_pb2 import CallerFrame, Open

from relay.frames import LARGEST_METADATA, LARGEST_REQUEST
from tests.unit.channel.doors import SERVICE, text_of
from tests.unit.relay.pipes import LARGEST, outcome, relayed, settled
from wire.leftovers import LEFTOVERS

LARGE = "x" * (3 * LARGEST_REQUEST)


async def length(request: StringValue, context: Any) -> StringValue:
    return text_of(str(len(request.value)))


@pytest.mark.parametrize("size", [LARGEST_REQUEST - 4, LARGEST_REQUEST - 3, len(LARGE)])
async def test_no_frame_is_larger_than_the_largest_request(size: int) -> None:
    async with relayed(ask=length) as both:
        assert (await both.ask("x" * size)).value == str(size)
        frames = both.pipe.up.frames
        assert max(len(it.part) + len(it.message) for it in frames) <= LARGEST_REQUEST
        assert max(len(it.whole_request.message) for it in frames) <= LARGEST_REQUEST
        told = [kind for kind in both.pipe.up.kinds() if kind != "credit"]
        if size <= LARGEST_REQUEST - 4:  # the text's own frame is four bytes
            assert told == ["whole_request"]
        else:
            assert told == ["open", *["part"] * (len(told) - 3), "message", "half_close"]


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
        last = {"whole_request", "half_close"}
        ends = [it.call for it in both.pipe.up.frames if it.WhichOneof("kind") in last]
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
        assert not both.client._outbox._long  # at once, however long the stream takes nothing
        both.pipe.up.open.set()
        await settled()
        assert isinstance(ended, asyncio.CancelledError | grpc.aio.AioRpcError)
        assert both.pipe.up.kinds().count("part") == 1
        assert "message" not in both.pipe.up.kinds()
        assert (both.client.calls, both.server.calls) == (0, 0)
        assert (await both.ask("next")).value == "4"


async def test_a_request_over_the_servers_limit_is_not_relayed() -> None:
    async with relayed(ask=length) as both:
        assert both.client.takes(LARGEST)
        assert not both.client.takes(LARGEST + 1)
        assert not both.client.takes(LARGEST, metadata=LARGEST_METADATA + 1)
        assert both.client.takes(1, metadata=LARGEST_METADATA)
        assert not both.client.takes(1, metadata=LARGEST_METADATA + 1)


async def test_a_stream_that_takes_nothing_is_given_few_large_requests() -> None:
    async with relayed(ask=length) as both:
        both.pipe.up.open.clear()
        asking = []
        while both.client.takes(len(LARGE)):
            asking.append(asyncio.ensure_future(outcome(both.ask(LARGE))))
            await settled()
            assert len(asking) < 20
        assert both.client.takes(100)  # small ones do not wait for them
        both.pipe.up.open.set()
        assert [it.value for it in await asyncio.gather(*asking)] == [str(len(LARGE))] * len(asking)
        assert both.client.takes(len(LARGE))


async def test_a_lost_stream_lets_go_of_its_requests_at_once() -> None:
    async with relayed(ask=length) as both:
        gc.collect()
        gc.disable()
        try:
            both.pipe.up.open.clear()
            call = both.ask(LARGE)
            await settled()
            state = weakref.ref(call._rpc)
            both.lose()
            await outcome(call)
            await asyncio.wait([both.carrying])
            assert not both.client._outbox._long
            del call
            await settled()
            assert state() is None
        finally:
            gc.enable()


async def test_parts_are_kept_as_what_they_hold() -> None:
    async with relayed(ask=length) as both:
        both.server._receive(CallerFrame(call=1, open=Open(method=f"/{SERVICE}/Ask", credit=9)))
        await settled()
        call = both.server._calls[1]
        for _ in range(5000):
            both.server._receive(CallerFrame(call=1, part=b""))
            both.server._receive(CallerFrame(call=1, part=b"ab"))
        assert call._parts == b"ab" * 5000  # one object, however many there were


async def test_what_is_left_of_a_request_is_not_sent_to_who_has_answered() -> None:
    async with relayed(ask=length) as both:
        both.pipe.up.open.clear()
        asking = asyncio.ensure_future(outcome(both.ask(LARGE)))
        await settled()
        both.server._receive(CallerFrame(call=1, open=Open(method=f"/{SERVICE}/Ask", timeout_us=1)))
        assert isinstance(await asking, grpc.aio.AioRpcError)
        assert not both.client._outbox._long
        both.pipe.up.open.set()


async def test_what_a_large_request_leaves_in_the_heap_is_given_back(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    given: list[int] = []
    monkeypatch.setattr(LEFTOVERS, "give_back", given.append)
    async with relayed(ask=length) as both:
        await both.ask(LARGE)
    (size,) = given
    assert size == len(StringValue(value=LARGE).SerializeToString())
