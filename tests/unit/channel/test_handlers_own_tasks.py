"""In process, handlers that start tasks of their own, and handlers that are callers themselves."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import grpc
import pytest
from google.protobuf.wrappers_pb2 import StringValue

from tests.unit.channel.doors import Open, failure, result_of, soon, text_of


async def test_a_task_of_the_handler_may_abort_the_call(open_in_process: Open) -> None:
    ended = asyncio.Event()

    async def abort_elsewhere(request: StringValue, context: Any) -> None:
        aborting = asyncio.create_task(context.abort(grpc.StatusCode.ABORTED, "from a task"))
        await asyncio.wait([aborting])
        assert isinstance(aborting.exception(), grpc.aio.AbortError)
        ended.set()

    door = await open_in_process(listen=abort_elsewhere)
    assert (await failure(door.listen().read())).details() == "from a task"
    await soon(ended)


async def test_a_write_that_is_given_up_in_time_sends_nothing(open_in_process: Open) -> None:
    async def give_up(request: StringValue, context: Any) -> None:
        await context.write(text_of("a"))
        writing = asyncio.create_task(context.write(text_of("given up")))
        await asyncio.sleep(0)
        writing.cancel()
        await asyncio.wait([writing])
        await context.write(text_of("b"))

    door = await open_in_process(listen=give_up)
    call = door.listen()
    assert (await call.read()).value == "a"
    code = asyncio.create_task(call.code())  # steps the handler, and takes no message
    for _ in range(5):
        await asyncio.sleep(0)
    assert (await call.read()).value == "b"
    assert await call.read() is grpc.aio.EOF
    assert await code is grpc.StatusCode.OK


async def test_a_write_by_a_task_fails_when_the_call_ends_under_it(open_in_process: Open) -> None:
    outcomes: list[Any] = []

    async def write_elsewhere(request: StringValue, context: Any) -> None:
        await context.send_initial_metadata(())
        writing = asyncio.create_task(context.write(text_of("a")))
        try:
            await asyncio.Event().wait()
        finally:
            outcomes.extend(await asyncio.gather(writing, return_exceptions=True))
            ended.set()

    ended = asyncio.Event()
    door = await open_in_process(listen=write_elsewhere)
    call = door.listen()
    await call.initial_metadata()
    code = asyncio.create_task(call.code())  # steps the handler, and takes no message
    for _ in range(3):
        await asyncio.sleep(0)
    call.cancel()
    assert await code is grpc.StatusCode.CANCELLED
    await soon(ended)
    assert isinstance(outcomes[0], grpc.aio.InternalError)


async def test_a_handler_may_call_through_the_channel_itself(open_in_process: Open) -> None:
    inner_ended = asyncio.Event()

    async def inner(request: StringValue, context: Any) -> AsyncIterator[StringValue]:
        try:
            for text in "abc":
                await asyncio.sleep(0)
                yield text_of(text)
            await asyncio.Event().wait()
        finally:
            inner_ended.set()

    async def outer(request: StringValue, context: Any) -> StringValue:
        call = doors[0].listen()
        heard = [(await call.read()).value for _ in range(3)]
        if request.value == "and wait":
            await call.read()
        call.cancel()
        return text_of("".join(heard))

    doors = [await open_in_process(ask=outer, listen=inner)]
    assert (await doors[0].ask()).value == "abc"
    assert inner_ended.is_set()

    inner_ended.clear()
    error = await failure(doors[0].ask("and wait", timeout=0.05))
    assert error.code() is grpc.StatusCode.DEADLINE_EXCEEDED
    assert inner_ended.is_set()

    inner_ended.clear()
    caller = asyncio.create_task(result_of(doors[0].ask("and wait")))
    for _ in range(10):
        await asyncio.sleep(0)
    caller.cancel()
    with pytest.raises(asyncio.CancelledError):
        await caller
    await soon(inner_ended)
