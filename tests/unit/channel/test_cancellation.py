"""Cancellation by the caller in every phase of a call, through both doors."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import grpc
import pytest
from google.protobuf.wrappers_pb2 import StringValue

from tests.unit.channel.doors import Open, result_of, soon, text_of


class Handler:
    """Writes what it is told to, then waits, and tells how it fares."""

    def __init__(self, messages: str = "", cleanup: asyncio.Event | None = None) -> None:
        self.messages = messages
        self.cleanup = cleanup
        self.waiting = asyncio.Event()
        self.cancelled = asyncio.Event()
        self.ended = asyncio.Event()

    async def write(self, request: StringValue, context: Any) -> StringValue:
        try:
            for text in self.messages:
                await context.write(text_of(text))
            self.waiting.set()
            await asyncio.Event().wait()
        except asyncio.CancelledError:
            self.cancelled.set()
            raise
        finally:
            await self.clean_up()
        return text_of("never")

    async def generate(self, request: StringValue, context: Any) -> AsyncIterator[StringValue]:
        try:
            for text in self.messages:
                yield text_of(text)
            self.waiting.set()
            await asyncio.Event().wait()
        finally:
            await self.clean_up()

    async def clean_up(self) -> None:
        if self.cleanup is not None:
            await self.cleanup.wait()
            await asyncio.sleep(0)
        self.ended.set()


async def assert_cancelled(call: Any) -> None:
    assert (call.done(), call.cancelled()) == (True, True)
    assert not call.cancel()
    assert await call.code() is grpc.StatusCode.CANCELLED
    assert await call.details() == "Locally cancelled by application!"
    assert await call.trailing_metadata() == grpc.aio.Metadata()


async def test_a_call_cancelled_before_it_is_awaited_just_ends(open_both: Open) -> None:
    handler = Handler()
    door = await open_both(ask=handler.write, listen=handler.write)
    unary, stream = door.ask(), door.listen()
    for call in (unary, stream):
        assert call.cancel()
        await assert_cancelled(call)
    with pytest.raises(asyncio.CancelledError):
        await unary
    with pytest.raises(asyncio.CancelledError):
        await stream.read()
    assert await unary.initial_metadata() == grpc.aio.Metadata()


@pytest.mark.parametrize("kind_of_call", ["ask", "listen"])
@pytest.mark.parametrize("by_task", [True, False])
async def test_cancelling_while_the_handler_waits_cancels_both(
    open_both: Open, kind_of_call: str, by_task: bool
) -> None:
    handler = Handler()
    door = await open_both(ask=handler.write, listen=handler.write)
    call = door.ask() if kind_of_call == "ask" else door.listen()
    caller = asyncio.create_task(result_of(call if kind_of_call == "ask" else call.read()))
    await soon(handler.waiting)
    assert caller.cancel() if by_task else call.cancel()
    with pytest.raises(asyncio.CancelledError):
        await caller
    await soon(handler.cancelled)
    await soon(handler.ended)
    await assert_cancelled(call)


@pytest.mark.parametrize("style", ["write", "generate"])
async def test_cancelling_between_two_reads_ends_the_handler(open_both: Open, style: str) -> None:
    handler = Handler("abc")
    door = await open_both(listen=getattr(handler, style))
    call = door.listen()
    assert (await call.read()).value == "a"
    assert call.cancel()
    await soon(handler.ended)
    with pytest.raises(asyncio.CancelledError):
        await call.read()
    await assert_cancelled(call)


@pytest.mark.parametrize("style", ["write", "generate"])
async def test_a_cancelled_handler_may_await_while_it_cleans_up(
    open_both: Open, style: str
) -> None:
    handler = Handler("ab", cleanup=asyncio.Event())
    door = await open_both(listen=getattr(handler, style))
    call = door.listen()
    assert (await call.read()).value == "a"
    call.cancel()
    await assert_cancelled(call)  # the caller does not wait for it
    assert not handler.ended.is_set()
    assert handler.cleanup is not None
    handler.cleanup.set()
    await soon(handler.ended)


async def test_a_cancelled_reader_does_not_wait_for_the_handlers_cleanup(open_both: Open) -> None:
    handler = Handler(cleanup=asyncio.Event())
    door = await open_both(listen=handler.write)
    call = door.listen()
    reader = asyncio.create_task(call.read())
    await soon(handler.waiting)
    reader.cancel()
    with pytest.raises(asyncio.CancelledError):
        await asyncio.wait_for(reader, 5)
    assert not handler.ended.is_set()
    assert handler.cleanup is not None
    handler.cleanup.set()
    await soon(handler.ended)


async def test_a_read_with_a_time_limit_cancels_the_call_when_it_runs_out(open_both: Open) -> None:
    handler = Handler()
    door = await open_both(listen=handler.write)
    call = door.listen()
    with pytest.raises(TimeoutError):
        await asyncio.wait_for(call.read(), 0.05)
    await soon(handler.ended)
    await assert_cancelled(call)


async def test_cancelling_one_of_two_that_await_a_unary_call_ends_it_for_both(
    open_both: Open,
) -> None:
    handler = Handler()
    door = await open_both(ask=handler.write)
    call = door.ask()
    callers = [asyncio.create_task(result_of(call)) for _ in range(2)]
    await soon(handler.waiting)
    callers[0].cancel()
    for caller in callers:
        with pytest.raises(asyncio.CancelledError):
            await caller
    await soon(handler.ended)


@pytest.mark.parametrize("question", ["code", "details", "initial_metadata", "trailing_metadata"])
async def test_who_asks_about_a_stream_may_be_cancelled_without_harm(
    open_both: Open, question: str
) -> None:
    go_on = asyncio.Event()

    async def wait_and_write(request: StringValue, context: Any) -> None:
        started.set()
        await go_on.wait()
        await context.write(text_of("a"))

    started = asyncio.Event()
    door = await open_both(listen=wait_and_write)
    call = door.listen()
    asking = asyncio.create_task(getattr(call, question)())
    await soon(started)
    asking.cancel()
    with pytest.raises(asyncio.CancelledError):
        await asking
    assert not call.done()
    go_on.set()
    assert (await call.read()).value == "a"
    assert await call.read() is grpc.aio.EOF


async def test_done_callbacks_are_told_of_a_cancellation_at_once(open_both: Open) -> None:
    handler = Handler()
    door = await open_both(ask=handler.write)
    call = door.ask()
    told: list[Any] = []
    call.add_done_callback(told.append)
    call.cancel()
    assert told == [call]


async def test_closing_the_channel_cancels_its_calls_and_refuses_others(open_both: Open) -> None:
    handler = Handler("ab")
    door = await open_both(ask=handler.write, listen=handler.write)
    call = door.listen()
    await call.read()
    await door.channel.close()
    await soon(handler.ended)
    await assert_cancelled(call)
    with pytest.raises(asyncio.CancelledError):
        await call.read()
    with pytest.raises(grpc.aio.UsageError):
        await door.ask()
    assert door.channel.get_state() is grpc.ChannelConnectivity.SHUTDOWN


async def test_a_closing_channel_lets_calls_end_within_its_grace(open_both: Open) -> None:
    go_on = asyncio.Event()

    async def write_and_wait(request: StringValue, context: Any) -> StringValue:
        await go_on.wait()
        return text_of("in time")

    door = await open_both(ask=write_and_wait)
    caller = asyncio.create_task(result_of(door.ask()))
    await asyncio.sleep(0)
    closing = asyncio.create_task(door.channel.close(5))
    await asyncio.sleep(0)
    go_on.set()
    assert (await caller).value == "in time"
    await asyncio.wait_for(closing, 4)


async def test_a_handler_sees_that_its_call_is_over_in_process(open_in_process: Open) -> None:
    seen: list[tuple[bool, bool]] = []

    async def look(request: StringValue, context: Any) -> None:
        try:
            await context.write(text_of("a"))
        finally:
            seen.append((context.done(), context.cancelled()))

    door = await open_in_process(listen=look)
    call = door.listen()
    await call.read()
    call.cancel()
    assert seen == [(True, True)]


async def test_closing_the_iterator_cancels_the_call_in_process(open_in_process: Open) -> None:
    handler = Handler("abc")
    door = await open_in_process(listen=handler.write)
    messages = door.listen().__aiter__()
    assert (await anext(messages)).value == "a"
    await messages.aclose()
    assert handler.ended.is_set()
