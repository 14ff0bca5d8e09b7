"""Messages, and the call objects they come from, through both doors."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import grpc
import pytest
from google.protobuf.wrappers_pb2 import StringValue
from grpc_health.v1 import health, health_pb2, health_pb2_grpc

from tests.unit.channel.doors import Open, make_server, result_of, soon, start, text_of, texts


async def echo(request: StringValue, context: Any) -> StringValue:
    return text_of(request.value)


async def write_three(request: StringValue, context: Any) -> None:
    for text in "abc":
        await context.write(text_of(text))


async def yield_three(request: StringValue, context: Any) -> AsyncIterator[StringValue]:
    for text in "abc":
        yield text_of(text)


async def test_a_unary_call_gives_its_answer_as_often_as_it_is_awaited(open_both: Open) -> None:
    door = await open_both(ask=echo)
    call = door.ask("hello")
    assert (await call).value == "hello"
    assert (await call).value == "hello"


@pytest.mark.parametrize("listen", [write_three, yield_three])
async def test_messages_come_in_order_by_iteration(open_both: Open, listen: Any) -> None:
    door = await open_both(listen=listen)
    assert await texts(door.listen()) == ["a", "b", "c"]


@pytest.mark.parametrize("listen", [write_three, yield_three])
async def test_messages_come_in_order_by_read_and_then_eof_for_ever(
    open_both: Open, listen: Any
) -> None:
    door = await open_both(listen=listen)
    call = door.listen()
    assert [(await call.read()).value for _ in range(3)] == ["a", "b", "c"]
    assert await call.read() is grpc.aio.EOF
    assert await call.read() is grpc.aio.EOF


async def test_a_finished_call_tells_how_it_ended(open_both: Open) -> None:
    door = await open_both(listen=write_three)
    call = door.listen()
    assert not call.done()
    await texts(call)
    assert await call.code() is grpc.StatusCode.OK
    assert await call.details() == ""
    assert await call.trailing_metadata() == grpc.aio.Metadata()
    assert (call.done(), call.cancelled(), call.cancel()) == (True, False, False)


async def test_a_stream_may_be_empty_and_what_a_writer_returns_is_not_sent(
    open_both: Open,
) -> None:
    async def return_something(request: StringValue, context: Any) -> StringValue:
        return text_of("not sent")

    door = await open_both(listen=return_something)
    assert await texts(door.listen()) == []


async def test_a_unary_handler_may_answer_a_stream_call(open_both: Open) -> None:
    door = await open_both(ask=echo)
    assert await texts(door.listen_to_answer()) == [""]


async def test_a_stream_of_one_message_may_answer_a_unary_call(open_both: Open) -> None:
    async def write_one(request: StringValue, context: Any) -> None:
        await context.write(text_of("only"))

    door = await open_both(listen=write_one)
    assert (await door.ask_listener()).value == "only"


async def test_large_answers_arrive_whole_beside_small_ones(open_both: Open) -> None:
    sizes = [3_000_000, 0, 70_000, 1_000_000, 5]

    async def write(request: StringValue, context: Any) -> None:
        for size in sizes:
            await context.write(text_of(request.value * size))

    async def answer(request: StringValue, context: Any) -> StringValue:
        return text_of(request.value * sizes[0])

    door = await open_both(ask=answer, listen=write)
    heard = await asyncio.gather(*(texts(door.listen(letter)) for letter in "abc"), door.ask("d"))
    for letter, messages in zip("abc", heard, strict=False):
        assert messages == [letter * size for size in sizes]
    assert heard[3].value == "d" * sizes[0]


async def test_reading_and_iterating_are_not_mixed(open_both: Open) -> None:
    door = await open_both(listen=write_three)
    read = door.listen()
    await read.read()
    with pytest.raises(grpc.aio.UsageError):
        read.__aiter__()
    iterated = door.listen()
    await anext(iterated.__aiter__())
    with pytest.raises(grpc.aio.UsageError):
        await iterated.read()
    read.cancel()
    iterated.cancel()


async def test_a_stream_is_iterated_by_one_task_at_a_time(open_both: Open) -> None:
    started = asyncio.Event()

    async def wait(request: StringValue, context: Any) -> None:
        started.set()
        await asyncio.Event().wait()

    door = await open_both(listen=wait)
    call = door.listen()
    messages = call.__aiter__()
    first = asyncio.create_task(result_of(messages.__anext__()))
    await soon(started)
    with pytest.raises(RuntimeError):
        await messages.__anext__()
    call.cancel()
    with pytest.raises(asyncio.CancelledError):
        await first


async def test_one_write_at_a_time(open_both: Open) -> None:
    outcomes: list[Any] = []

    async def write_twice_at_once(request: StringValue, context: Any) -> None:
        writes = (context.write(text_of("a")), context.write(text_of("b")))
        outcomes.extend(await asyncio.gather(*writes, return_exceptions=True))

    door = await open_both(listen=write_twice_at_once)
    assert await texts(door.listen()) == ["a"]
    assert outcomes[0] is None
    assert isinstance(outcomes[1], grpc.aio.InternalError)


async def test_a_write_may_be_made_by_a_task_that_the_handler_starts(open_both: Open) -> None:
    async def write_elsewhere(request: StringValue, context: Any) -> None:
        for text in "abc":
            await asyncio.create_task(context.write(text_of(text)))

    door = await open_both(listen=write_elsewhere)
    assert await texts(door.listen()) == ["a", "b", "c"]


async def test_the_code_is_known_when_the_messages_have_been_read(open_both: Open) -> None:
    door = await open_both(listen=write_three)
    call = door.listen()
    code = asyncio.create_task(call.code())
    assert await texts(call) == ["a", "b", "c"]
    assert await code is grpc.StatusCode.OK


async def test_asking_a_unary_call_for_its_code_first_does_not_lose_the_answer(
    open_both: Open,
) -> None:
    door = await open_both(ask=echo)
    call = door.ask("kept")
    assert await call.code() is grpc.StatusCode.OK
    assert (await call).value == "kept"


async def test_done_callbacks_get_the_call_once_and_at_once_when_it_is_over(
    open_both: Open,
) -> None:
    door = await open_both(ask=echo)
    call = door.ask()
    told: list[Any] = []
    call.add_done_callback(told.append)
    await call
    assert told == [call]
    call.add_done_callback(told.append)
    assert told == [call, call]


async def test_the_handlers_done_callbacks_get_its_context(open_both: Open) -> None:
    told = asyncio.Event()
    contexts: list[Any] = []

    def tell(context: Any) -> None:
        contexts.append(context)
        told.set()

    async def register(request: StringValue, context: Any) -> StringValue:
        contexts.append(context)
        context.add_done_callback(tell)
        return text_of("")

    door = await open_both(ask=register)
    await door.ask()
    await soon(told)
    assert contexts[0] is contexts[1]


async def test_waiting_for_the_connection_waits_for_the_handler_to_begin_its_answer(
    open_both: Open,
) -> None:
    door = await open_both(ask=echo, listen=write_three)
    await door.ask().wait_for_connection()
    stream = door.listen()
    await stream.wait_for_connection()
    assert await texts(stream) == ["a", "b", "c"]


async def test_generated_stubs_and_servicers_work(kind: str) -> None:
    servicer = health.aio.HealthServicer()
    server = make_server(kind)
    health_pb2_grpc.add_HealthServicer_to_server(servicer, server)
    channel = await start(kind, server)
    stub = health_pb2_grpc.HealthStub(channel)
    serving = health_pb2.HealthCheckResponse.SERVING
    stopped = health_pb2.HealthCheckResponse.NOT_SERVING
    await servicer.set("talk", serving)

    assert (await stub.Check(health_pb2.HealthCheckRequest(service="talk"))).status == serving
    watch = stub.Watch(health_pb2.HealthCheckRequest(service="talk"))
    assert (await watch.read()).status == serving
    change = asyncio.create_task(watch.read())
    await servicer.set("talk", stopped)
    assert (await change).status == stopped

    watch.cancel()
    await channel.close()
    await server.stop(None)
