"""The caller's deadline in every phase of a call, through both doors.

Where a test measures, it asserts that the caller is not kept waiting: the handler would keep it for
ever.
"""

from __future__ import annotations

import asyncio
from typing import Any

import grpc
import pytest
from google.protobuf.wrappers_pb2 import StringValue

from tests.unit.channel.doors import WIRE, Open, failure, result_of, soon, text_of, texts

SHORT = 0.1


class Sleeper(grpc.aio.ServerInterceptor):
    async def intercept_service(self, continuation: Any, handler_call_details: Any) -> Any:
        await asyncio.Event().wait()


async def wait_for_ever(request: StringValue, context: Any) -> StringValue:
    await asyncio.Event().wait()
    return text_of("never")


def deadline_exceeded(error: grpc.aio.AioRpcError) -> bool:
    # Over the wire the details come in two wordings, by where the deadline is noticed.
    return error.code() is grpc.StatusCode.DEADLINE_EXCEEDED and "Deadline Exceeded" in str(
        error.details()
    )


@pytest.mark.parametrize("timeout", [0, -1])
async def test_a_deadline_in_the_past_fails_the_call_and_in_process_without_its_handler(
    open_both: Open, timeout: float
) -> None:
    started = asyncio.Event()

    async def start(request: StringValue, context: Any) -> StringValue:
        started.set()
        return await wait_for_ever(request, context)

    door = await open_both(ask=start, listen=start)
    assert deadline_exceeded(await failure(door.ask(timeout=timeout)))
    assert deadline_exceeded(await failure(door.listen(timeout=timeout).read()))
    assert door.kind == WIRE or not started.is_set()


@pytest.mark.parametrize("kind_of_call", ["ask", "listen"])
async def test_a_waiting_handler_is_cancelled_at_the_deadline(
    open_both: Open, kind_of_call: str
) -> None:
    cancelled = asyncio.Event()

    async def wait(request: StringValue, context: Any) -> StringValue:
        try:
            return await wait_for_ever(request, context)
        except asyncio.CancelledError:
            cancelled.set()
            raise

    door = await open_both(ask=wait, listen=wait)
    call = getattr(door, kind_of_call)(timeout=SHORT)
    assert deadline_exceeded(await failure(call if kind_of_call == "ask" else call.read()))
    await soon(cancelled)
    assert (call.done(), call.cancelled()) == (True, False)
    assert call.time_remaining() == 0
    assert await call.code() is grpc.StatusCode.DEADLINE_EXCEEDED


async def test_a_deadline_counts_in_the_interceptors_too(open_both: Open) -> None:
    door = await open_both(ask=wait_for_ever, interceptors=[Sleeper()])
    assert deadline_exceeded(await failure(door.ask(timeout=SHORT)))


async def test_a_deadline_after_some_messages_ends_the_stream(open_both: Open) -> None:
    async def write_and_wait(request: StringValue, context: Any) -> None:
        await context.write(text_of("a"))
        await asyncio.Event().wait()

    door = await open_both(listen=write_and_wait)
    call = door.listen(timeout=SHORT)
    assert (await call.read()).value == "a"
    for _ in range(2):
        assert deadline_exceeded(await failure(call.read()))


async def test_a_deadline_between_two_reads_is_told_by_the_next(open_both: Open) -> None:
    ended, over = asyncio.Event(), asyncio.Event()

    async def write_and_wait(request: StringValue, context: Any) -> None:
        try:
            await context.write(text_of("a"))
            await context.write(text_of("b"))
            await asyncio.Event().wait()
        finally:
            ended.set()

    door = await open_both(listen=write_and_wait)
    call = door.listen(timeout=SHORT)
    call.add_done_callback(lambda _: over.set())
    assert (await call.read()).value == "a"
    await soon(over)
    await soon(ended)
    assert deadline_exceeded(await failure(texts_by_read(call)))


async def texts_by_read(call: Any) -> list[str]:
    """Reads to the end: over the wire a message that has arrived is still there to be read."""
    messages = []
    while (message := await call.read()) is not grpc.aio.EOF:
        messages.append(message.value)
    return messages


async def test_a_handler_that_ignores_its_cancellation_does_not_keep_the_caller(
    open_both: Open,
) -> None:
    let_go, ended = asyncio.Event(), asyncio.Event()

    async def ignore(request: StringValue, context: Any) -> None:
        try:
            await asyncio.Event().wait()
        except asyncio.CancelledError:
            await let_go.wait()
        with pytest.raises(grpc.aio.InternalError):
            await context.write(text_of("too late"))
        ended.set()

    door = await open_both(listen=ignore)
    call = door.listen(timeout=SHORT)
    assert deadline_exceeded(await asyncio.wait_for(failure(call.read()), 5))
    let_go.set()
    await soon(ended)


async def test_a_handler_that_cleans_up_for_long_does_not_keep_the_caller(
    open_both: Open,
) -> None:
    let_go, ended = asyncio.Event(), asyncio.Event()

    async def clean(request: StringValue, context: Any) -> StringValue:
        try:
            return await wait_for_ever(request, context)
        finally:
            await let_go.wait()
            await asyncio.sleep(0)
            ended.set()

    door = await open_both(ask=clean)
    assert deadline_exceeded(await asyncio.wait_for(failure(door.ask(timeout=SHORT)), 5))
    let_go.set()
    await soon(ended)


async def test_a_task_that_the_handler_awaits_and_that_ignores_cancellation_does_not_either(
    open_both: Open,
) -> None:
    let_go, ended = asyncio.Event(), asyncio.Event()

    async def stubborn() -> None:
        while not let_go.is_set():
            try:
                await let_go.wait()
            except asyncio.CancelledError:
                continue

    async def await_it(request: StringValue, context: Any) -> StringValue:
        await asyncio.create_task(stubborn())
        ended.set()
        return text_of("too late")

    door = await open_both(ask=await_it)
    assert deadline_exceeded(await asyncio.wait_for(failure(door.ask(timeout=SHORT)), 5))
    let_go.set()
    await soon(ended)


async def test_both_sides_see_the_time_that_remains(open_both: Open) -> None:
    seen: list[Any] = []

    async def look(request: StringValue, context: Any) -> StringValue:
        seen.append(context.time_remaining())
        return text_of("")

    door = await open_both(ask=look)
    call = door.ask(timeout=50)
    await call
    assert seen[0] == pytest.approx(50, abs=5)  # the wire's own rounding is no matter
    assert call.time_remaining() == pytest.approx(50, abs=5)
    call = door.ask()
    await call
    assert seen[1] is None
    assert call.time_remaining() is None


async def test_a_call_that_ends_in_time_is_not_touched_by_its_deadline(open_both: Open) -> None:
    async def answer(request: StringValue, context: Any) -> StringValue:
        return text_of("in time")

    door = await open_both(ask=answer, listen=wait_for_ever)
    call = door.ask(timeout=SHORT)
    await call
    await failure(door.listen(timeout=2 * SHORT).read())  # the first deadline passes meanwhile
    assert await call.code() is grpc.StatusCode.OK
    assert (await call).value == "in time"


async def test_a_callers_own_timeout_around_a_read_cancels_the_call(open_both: Open) -> None:
    cancelled = asyncio.Event()

    async def wait(request: StringValue, context: Any) -> None:
        try:
            await asyncio.Event().wait()
        finally:
            cancelled.set()

    door = await open_both(listen=wait)
    call = door.listen(timeout=10)
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(SHORT):
            await call.read()
    await soon(cancelled)
    assert call.cancelled()


async def test_a_cancellation_at_the_moment_of_the_deadline_wins_and_both_end_cleanly(
    open_in_process: Open,
) -> None:
    ended = asyncio.Event()

    async def wait(request: StringValue, context: Any) -> StringValue:
        try:
            return await wait_for_ever(request, context)
        finally:
            ended.set()

    door = await open_in_process(ask=wait)
    call = door.ask(timeout=SHORT)
    caller = asyncio.create_task(result_of(call))
    call.add_done_callback(lambda _: caller.cancel())  # in the very callback of the deadline
    with pytest.raises(asyncio.CancelledError):
        await caller
    assert ended.is_set()
    assert await call.code() is grpc.StatusCode.DEADLINE_EXCEEDED


async def test_the_iteration_of_a_stream_ends_with_the_deadline_too(open_both: Open) -> None:
    door = await open_both(listen=wait_for_ever)
    assert deadline_exceeded(await failure(texts(door.listen(timeout=SHORT))))
