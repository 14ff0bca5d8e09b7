"""A slow reader holds its own handler back, and nobody else's."""

from __future__ import annotations

import asyncio
from typing import Any

import grpc
import pytest
from google.protobuf.wrappers_pb2 import StringValue
from llmbase.relay.v1.relay_pb2 import CallerFrame, Open, RelayRequest

from relay.credit import Window
from relay.frames import PART, WINDOW
from tests.unit.channel.doors import SERVICE, text_of, texts
from tests.unit.relay.pipes import LARGEST, outcome, relayed, settled

KB = text_of("x" * 1000)


def test_a_window_gives_credit_back_in_halves() -> None:
    window = Window(100)
    assert [window.read(size) for size in (20, 29, 1, 49, 60)] == [0, 0, 50, 0, 109]


class Flood:
    """Writes without an end; knows how often."""

    def __init__(self, message: StringValue = KB) -> None:
        self.message = message
        self.written = 0

    async def write(self, request: StringValue, context: Any) -> None:
        while True:
            self.written += 1
            await context.write(self.message)


async def test_a_handler_is_never_further_ahead_than_a_window() -> None:
    flood = Flood()
    async with relayed(listen=flood.write) as both:
        call = both.listen()
        taken = 0
        for _ in range(20):
            await settled()
            assert (flood.written - taken) * 1000 < WINDOW + 2000
            for _ in range(57):
                await call.read()
                taken += 1
        call.cancel()


async def test_tiny_messages_are_bounded_too() -> None:
    flood = Flood(text_of(""))
    async with relayed(listen=flood.write) as both:
        call = both.listen()
        for _ in range(30):
            await settled()
        assert flood.written < WINDOW / 50
        call.cancel()


async def test_a_large_message_goes_in_parts_and_arrives_whole() -> None:
    text = "".join(map(str, range(60_000)))

    async def write(request: StringValue, context: Any) -> None:
        for size in (PART - 10, PART, PART + 1, len(text), 0):
            await context.write(text_of(text[:size]))

    async with relayed(listen=write) as both:
        heard = await texts(both.listen())
        assert [len(it) for it in heard] == [PART - 10, PART, PART + 1, len(text), 0]
        assert heard[3] == text
        for frame in both.pipe.down.frames:
            assert len(frame.part) + len(frame.message) <= PART


async def test_a_large_answer_to_a_unary_call_waits_for_credit_and_arrives_whole() -> None:
    async def answer(request: StringValue, context: Any) -> StringValue:
        return text_of("x" * 900_000)

    async with relayed(ask=answer) as both:
        call = both.ask()
        assert len((await call).value) == 900_000
        assert await call.code() is grpc.StatusCode.OK


async def test_large_messages_are_held_back_like_small_ones() -> None:
    flood = Flood(text_of("x" * 500_000))
    async with relayed(listen=flood.write) as both:
        call = both.listen()
        for _ in range(10):
            await settled()
        # One is complete for its reader, and of the next there is a window.
        assert flood.written == 2
        assert sum(len(it.part) + len(it.message) for it in both.pipe.down.frames) < (
            500_000 + WINDOW + 2 * PART
        )
        for _ in range(5):
            assert len((await call.read()).value) == 500_000
        call.cancel()


async def test_an_answer_over_the_limit_of_the_server_is_not_sent() -> None:
    async def answer(request: StringValue, context: Any) -> StringValue:
        return text_of("x" * (LARGEST + 1))

    async with relayed(ask=answer) as both:
        error = await outcome(both.ask())
        assert error.code() is grpc.StatusCode.RESOURCE_EXHAUSTED
        assert "larger than max" in error.details()
        assert both.pipe.down.kinds() == ["welcome", "status"]


@pytest.mark.parametrize("kind", ["initial", "trailing"])
async def test_metadata_that_would_block_the_stream_ends_its_call(kind: str) -> None:
    large = (("key", "x" * 100_000),)

    async def answer(request: StringValue, context: Any) -> StringValue:
        if kind == "initial":
            await context.send_initial_metadata(large)
        context.set_trailing_metadata(large)
        return request

    async with relayed(ask=answer) as both:
        error = await outcome(both.ask())
        assert error.code() is grpc.StatusCode.RESOURCE_EXHAUSTED
        assert tuple(error.trailing_metadata()) == ()


async def test_a_status_that_cannot_travel_is_another_and_not_silence() -> None:
    async def fail(request: StringValue, context: Any) -> StringValue:
        raise LookupError("half a pair: \ud800")

    async with relayed(ask=fail) as both:
        error = await outcome(both.ask())
        assert error.code() is grpc.StatusCode.INTERNAL


async def test_an_answer_over_the_limit_of_the_caller_ends_the_call_before_it_is_there() -> None:
    cancelled = asyncio.Event()

    async def write(request: StringValue, context: Any) -> None:
        try:
            await context.write(text_of("x" * (LARGEST - 100)))
            await asyncio.Event().wait()
        finally:
            cancelled.set()

    async with relayed(listen=write) as both:
        both.client._largest_message = LARGEST // 2
        error = await outcome(both.listen().read())
        assert error.code() is grpc.StatusCode.RESOURCE_EXHAUSTED
        await asyncio.wait_for(cancelled.wait(), 5)


async def test_an_answer_that_cannot_be_read_is_an_error_and_not_a_good_end() -> None:
    async def answer(request: StringValue, context: Any) -> StringValue:
        return text_of("fine")

    def refuse(data: bytes) -> Any:
        raise ValueError

    async with relayed(ask=answer) as both:
        call = both.ask()
        call._rpc._deserialize = refuse  # type: ignore[attr-defined]
        error = await outcome(call)
        assert error.code() is grpc.StatusCode.INTERNAL


async def test_a_flood_does_not_keep_other_calls_waiting() -> None:
    flood = Flood(text_of("x" * 10_000))

    async def echo(request: StringValue, context: Any) -> StringValue:
        return request

    async def read(call: Any) -> None:
        while True:
            await call.read()

    async with relayed(ask=echo, listen=flood.write) as both:
        floods = [asyncio.create_task(read(both.listen())) for _ in range(3)]
        await settled()
        for number in range(20):
            before = len(both.pipe.down.frames)
            assert (await both.ask(str(number))).value == str(number)
            between = both.pipe.down.frames[before:]
            # No more than what three windows hold goes ahead of an answer, twice: what is on its
            # way when the request leaves, and what is when it is answered.
            assert sum(len(it.message) for it in between) < 2 * 3 * (WINDOW + PART)
        for task in floods:
            task.cancel()
        await asyncio.wait(floods)


async def test_a_stream_that_takes_nothing_holds_all_handlers_back_until_it_does_again() -> None:
    flood = Flood(text_of("x" * 10_000))

    async def read(call: Any) -> int:
        for _ in range(10):
            await call.read()
        call.cancel()
        return 10

    async with relayed(listen=flood.write) as both:
        both.pipe.down.open.clear()
        calls = [both.listen() for _ in range(500)]
        await settled()
        assert both.server._outbox.full
        assert both.server._outbox.waiting < 5 * 2**20
        assert flood.written * 10_000 < 10 * 2**20
        reading = [asyncio.create_task(read(call)) for call in calls]
        calls[0].cancel()
        both.pipe.down.open.set()
        await asyncio.wait(reading)
        assert [it.cancelled() or it.result() for it in reading] == [True, *[10] * 499]
        await settled()
        assert both.server._outbox.waiting == 0


async def test_a_reader_that_stands_still_holds_nobody_else_back() -> None:
    flood = Flood()

    async def echo(request: StringValue, context: Any) -> StringValue:
        return request

    async with relayed(ask=echo, listen=flood.write) as both:
        still = [both.listen() for _ in range(50)]
        await settled()
        assert (await both.ask("through")).value == "through"
        for call in still:
            call.cancel()


async def test_what_other_tasks_of_a_handler_write_waits_for_credit_too() -> None:
    async def listen(request: StringValue, context: Any) -> None:
        for i in range(3):
            await asyncio.create_task(context.write(text_of(f"{i}" + "x" * 100)))

    async with relayed(listen=listen) as both:
        opened = Open(method=f"/{SERVICE}/Listen", credit=250)
        frames = ({"open": opened}, {"message": b""}, {"half_close": True})
        asked = RelayRequest(frames=[CallerFrame(call=1, **frame) for frame in frames])
        await both.pipe.up.write(asked)
        await settled()
        assert both.pipe.down.kinds().count("message") == 2
        more = RelayRequest(frames=[CallerFrame(call=1, credit=10_000)])
        await both.pipe.up.write(more)
        await settled()
        assert both.pipe.down.kinds()[-2:] == ["message", "status"]
        assert both.pipe.down.kinds().count("message") == 3


class _Unspeakable(Exception):
    def __str__(self) -> str:
        raise ValueError("it has no text")


@pytest.mark.parametrize("waits", [False, True])
async def test_a_call_ends_whatever_comes_out_of_its_handler(waits: bool) -> None:
    async def ask(request: StringValue, context: Any) -> StringValue:
        if waits:
            await asyncio.sleep(0)
        raise _Unspeakable

    async with relayed(ask=ask) as both:
        async with asyncio.timeout(5):
            ended = await outcome(both.ask())
        assert isinstance(ended, grpc.aio.AioRpcError)
        assert ended.code() is grpc.StatusCode.INTERNAL
        assert (both.client.calls, both.server.calls) == (0, 0)
