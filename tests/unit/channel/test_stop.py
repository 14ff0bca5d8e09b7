"""Stopping the server under its calls, through both doors."""

from __future__ import annotations

import asyncio
from typing import Any

import grpc
import pytest
from google.protobuf.wrappers_pb2 import StringValue

from tests.unit.channel.doors import Open, failure, failure_of_stream, result_of, soon, text_of

Ready = grpc.ChannelConnectivity.READY


class Slow:
    """A unary and a streaming handler that are through when the test says so."""

    def __init__(self) -> None:
        self.started = asyncio.Event()
        self.finish = asyncio.Event()
        self.cancelled = asyncio.Event()

    async def answer(self, request: StringValue, context: Any) -> StringValue:
        self.started.set()
        try:
            await self.finish.wait()
        except asyncio.CancelledError:
            self.cancelled.set()
            raise
        return text_of("done")

    async def write(self, request: StringValue, context: Any) -> None:
        await context.write(text_of("first"))
        await context.write(await self.answer(request, context))


async def test_running_calls_end_within_the_grace_and_new_ones_are_refused(
    open_both: Open,
) -> None:
    slow = Slow()
    door = await open_both(ask=slow.answer, listen=slow.write)
    answer = asyncio.create_task(result_of(door.ask()))
    await soon(slow.started)
    stream = door.listen()
    assert (await stream.read()).value == "first"

    stopping = asyncio.create_task(door.server.stop(30))
    # Over the wire a call made before the news has arrived may also end with CANCELLED.
    await asyncio.wait_for(door.channel.wait_for_state_change(Ready), 5)
    assert (await failure(door.ask())).code() is grpc.StatusCode.UNAVAILABLE
    refused = await failure_of_stream(door.listen())
    assert refused.code() is grpc.StatusCode.UNAVAILABLE
    assert not stopping.done()

    slow.finish.set()
    assert (await answer).value == "done"
    assert (await stream.read()).value == "done"
    assert await stream.read() is grpc.aio.EOF
    await asyncio.wait_for(stopping, 5)
    assert not slow.cancelled.is_set()


@pytest.mark.parametrize("grace", [None, 0, 0.1])
async def test_calls_that_outlast_the_grace_end_unavailable(
    open_both: Open, grace: float | None
) -> None:
    slow = Slow()
    door = await open_both(ask=slow.answer, listen=slow.write)
    answer = asyncio.create_task(result_of(door.ask()))
    stream = door.listen()
    assert (await stream.read()).value == "first"
    await soon(slow.started)

    await door.server.stop(grace)
    await soon(slow.cancelled)
    for error in (await failure(answer), await failure_of_reads(stream)):
        assert error.code() is grpc.StatusCode.UNAVAILABLE
        assert error.details() == "Cancelling all calls"
    assert not stream.cancelled()


async def failure_of_reads(call: Any) -> grpc.aio.AioRpcError:
    """Over the wire a message that has arrived is still there to be read before the error."""

    async def read_on() -> None:
        while await call.read() is not grpc.aio.EOF:
            pass

    return await failure(read_on())


async def test_a_stop_may_be_hurried(open_both: Open) -> None:
    slow = Slow()
    door = await open_both(ask=slow.answer)
    answer = asyncio.create_task(result_of(door.ask()))
    await soon(slow.started)
    patient = asyncio.create_task(door.server.stop(60))
    await asyncio.sleep(0)
    await asyncio.wait_for(door.server.stop(0.05), 5)
    await asyncio.wait_for(patient, 5)
    assert (await failure(answer)).code() is grpc.StatusCode.UNAVAILABLE


async def test_stopping_again_or_without_calls_returns_at_once(open_both: Open) -> None:
    door = await open_both(ask=Slow().answer)
    for _ in range(2):
        await asyncio.wait_for(door.server.stop(60), 5)
    assert await door.server.wait_for_termination(5) is False


async def test_waiting_for_the_termination_of_a_running_server_times_out(open_both: Open) -> None:
    door = await open_both(ask=Slow().answer)
    assert await door.server.wait_for_termination(0.01) is True


async def test_stop_waits_for_the_cleanup_of_cancelled_handlers(open_in_process: Open) -> None:
    go_on, cleaned = asyncio.Event(), asyncio.Event()

    async def clean_up(request: StringValue, context: Any) -> None:
        try:
            await context.write(text_of("a"))
        finally:
            await go_on.wait()
            cleaned.set()

    door = await open_in_process(listen=clean_up)
    call = door.listen()
    await call.read()
    call.cancel()
    stopping = asyncio.create_task(door.server.stop(None))
    await asyncio.sleep(0)
    assert not stopping.done()
    go_on.set()
    await asyncio.wait_for(stopping, 5)
    assert cleaned.is_set()


async def test_a_channel_shows_the_state_of_its_server_in_process(open_in_process: Open) -> None:
    door = await open_in_process()
    await door.channel.channel_ready()
    assert door.channel.get_state() is Ready
    change = asyncio.create_task(door.channel.wait_for_state_change(Ready))
    await asyncio.sleep(0)
    assert not change.done()
    await door.server.stop(None)
    await asyncio.wait_for(change, 5)
    assert door.channel.get_state() is grpc.ChannelConnectivity.TRANSIENT_FAILURE
    ready = asyncio.create_task(door.channel.channel_ready())
    await asyncio.sleep(0)
    await door.channel.close()
    with pytest.raises(grpc.aio.UsageError):
        await ready


async def test_what_an_in_process_server_cannot_do_it_says(open_in_process: Open) -> None:
    door = await open_in_process()
    for missing in (door.channel.stream_unary, door.channel.stream_stream):
        with pytest.raises(NotImplementedError, match="streams of requests"):
            missing("/service/Method")
    with pytest.raises(NotImplementedError, match="cannot listen"):
        door.server.add_insecure_port("127.0.0.1:0")
