"""How the in-process channel runs handlers: in their readers' tasks, and only when asked."""

from __future__ import annotations

import asyncio
from typing import Any

import grpc
import pytest
from google.protobuf.wrappers_pb2 import StringValue

from channel.metadata import Metadatum
from tests.unit.channel.doors import Open, failure, text_of, texts


async def test_no_task_is_made_for_a_call_or_a_message(open_in_process: Open) -> None:
    async def answer(request: StringValue, context: Any) -> StringValue:
        await asyncio.sleep(0)
        return request

    async def write(request: StringValue, context: Any) -> None:
        for _ in range(10):
            await asyncio.sleep(0)
            await context.write(request)

    door = await open_in_process(ask=answer, listen=write)
    made: list[Any] = []

    def count(loop: asyncio.AbstractEventLoop, coroutine: Any, **options: Any) -> Any:
        made.append(coroutine)
        return asyncio.Task(coroutine, loop=loop, **options)

    asyncio.get_running_loop().set_task_factory(count)
    await door.ask(timeout=10)
    assert len(await texts(door.listen(timeout=10))) == 10
    between = door.listen()
    await between.read()
    between.cancel()
    assert made == []


async def test_a_handler_is_never_ahead_of_its_reader(open_in_process: Open) -> None:
    begun: list[int] = []

    async def write(request: StringValue, context: Any) -> None:
        for number in range(5):
            begun.append(number)
            await context.write(text_of(str(number)))

    door = await open_in_process(listen=write)
    call = door.listen()
    await asyncio.sleep(0)
    assert begun == []
    for number in range(5):
        assert (await call.read()).value == str(number)
        for _ in range(3):
            await asyncio.sleep(0)
        assert begun == list(range(number + 1))
    assert await call.read() is grpc.aio.EOF


async def test_the_reader_gets_the_very_object_that_was_written(open_in_process: Open) -> None:
    message = text_of("the same")
    seen: list[Any] = []

    async def write(request: StringValue, context: Any) -> None:
        seen.append(request)
        await context.write(message)

    door = await open_in_process(listen=write)
    listen: Any = door.channel.unary_stream("/llmbase.test.Talk/Listen")
    call = listen(message)
    assert await call.read() is message
    assert seen[0] is message
    call.cancel()


async def test_invocation_metadata_has_named_parts(open_in_process: Open) -> None:
    async def look(request: StringValue, context: Any) -> StringValue:
        assert context.invocation_metadata() == (Metadatum("key", "value"),)
        return request

    door = await open_in_process(ask=look)
    await door.ask(metadata=(("key", "value"),))


async def test_a_second_read_at_once_is_refused(open_in_process: Open) -> None:
    async def wait(request: StringValue, context: Any) -> None:
        await asyncio.Event().wait()

    door = await open_in_process(listen=wait)
    call = door.listen()
    reading = asyncio.create_task(call.read())
    await asyncio.sleep(0)
    with pytest.raises(grpc.aio.UsageError):
        await call.read()
    assert not call.done()
    call.cancel()
    with pytest.raises(asyncio.CancelledError):
        await reading


async def test_successive_reads_may_be_made_by_different_tasks(open_in_process: Open) -> None:
    tasks: list[Any] = []

    async def write(request: StringValue, context: Any) -> None:
        async with asyncio.timeout(10):  # entered under one reader, left under another
            for text in "abc":
                tasks.append(asyncio.current_task())
                await asyncio.sleep(0)
                await context.write(text_of(text))

    door = await open_in_process(listen=write)
    call = door.listen()
    for text in "abc":
        assert (await asyncio.create_task(call.read())).value == text
    assert await call.read() is grpc.aio.EOF
    assert len(set(tasks)) == 1
    assert tasks[0] is not asyncio.current_task()


async def test_cancel_unwinds_a_handler_at_its_write_before_it_returns(
    open_in_process: Open,
) -> None:
    seen: list[str] = []

    async def write(request: StringValue, context: Any) -> None:
        try:
            await context.write(text_of("a"))
        except asyncio.CancelledError:
            seen.append("cancelled")
            raise
        finally:
            seen.append("closed")

    door = await open_in_process(listen=write)
    call = door.listen()
    await call.read()
    call.cancel()
    assert seen == ["cancelled", "closed"]


async def test_a_handler_may_bring_about_the_end_of_its_own_call(open_in_process: Open) -> None:
    calls: list[Any] = []
    seen: list[str] = []

    async def cancel_itself(request: StringValue, context: Any) -> None:
        calls[0].cancel()
        try:
            await asyncio.sleep(10)
        except asyncio.CancelledError:
            seen.append("cancelled")
            raise

    door = await open_in_process(listen=cancel_itself)
    calls.append(door.listen())
    with pytest.raises(asyncio.CancelledError):
        await calls[0].read()
    assert seen == ["cancelled"]


async def test_what_ends_a_program_goes_through_to_the_reader(open_in_process: Open) -> None:
    class Exit(BaseException):
        pass

    async def leave(request: StringValue, context: Any) -> StringValue:
        raise Exit

    door = await open_in_process(ask=leave)
    call = door.ask()
    with pytest.raises(Exit):
        await call
    assert await call.code() is grpc.StatusCode.UNKNOWN


async def test_a_failing_done_callback_is_the_loops_to_report(open_in_process: Open) -> None:
    reported: list[Any] = []
    asyncio.get_running_loop().set_exception_handler(lambda _, what: reported.append(what))

    def fail(call: Any) -> None:
        raise LookupError

    async def answer(request: StringValue, context: Any) -> StringValue:
        context.add_done_callback(fail)
        return request

    door = await open_in_process(ask=answer)
    call = door.ask("still here")
    call.add_done_callback(fail)
    assert (await call).value == "still here"
    assert [type(what["exception"]) for what in reported] == [LookupError, LookupError]


async def test_a_handlers_task_looks_like_one(open_in_process: Open) -> None:
    async def look(request: StringValue, context: Any) -> StringValue:
        task = asyncio.current_task()
        assert task is not None
        assert task.get_loop() is asyncio.get_running_loop()
        assert asyncio.iscoroutine(task.get_coro())
        assert not task.done()
        return text_of(task.get_name())

    door = await open_in_process(ask=look)
    assert (await door.ask()).value.startswith("in-process handler")


async def test_a_handler_that_awaits_what_is_not_asyncios_fails_alone(
    open_in_process: Open,
) -> None:
    class Foreign:
        def __await__(self) -> Any:
            yield "something else"

    async def await_it(request: StringValue, context: Any) -> StringValue:
        await Foreign()
        return request

    door = await open_in_process(ask=await_it)
    error = await failure(door.ask())
    assert "cannot await 'something else'" in str(error.details())
