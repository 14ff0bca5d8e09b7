"""In process, what a handler cancels in itself never reaches the task that reads from it."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import aiohttp
import grpc
import pytest
from aiohttp import web
from google.protobuf.wrappers_pb2 import StringValue

from tests.unit.channel.doors import Open, failure, soon, text_of, texts


def untouched() -> bool:
    task = asyncio.current_task()
    assert task is not None
    return task.cancelling() == 0


async def test_a_time_limit_between_writes_ends_what_it_is_around(open_in_process: Open) -> None:
    async def limit_each(request: StringValue, context: Any) -> None:
        for text in "ab":
            try:
                async with asyncio.timeout(0.01):
                    await asyncio.Event().wait()
            except TimeoutError:
                await context.write(text_of(text))
            async with asyncio.timeout(10):
                await asyncio.sleep(0)

    door = await open_in_process(listen=limit_each)
    assert await texts(door.listen()) == ["a", "b"]
    assert untouched()


async def test_a_time_limit_around_a_write_runs_out_inside_the_handler(
    open_in_process: Open,
) -> None:
    seen: list[bool] = []

    async def limit_all(request: StringValue, context: Any) -> None:
        try:
            async with asyncio.timeout(0.01) as limit:
                await context.write(text_of("a"))
        except TimeoutError:
            seen.append(limit.expired())
            await context.abort(grpc.StatusCode.RESOURCE_EXHAUSTED, "too slow")

    door = await open_in_process(listen=limit_all)
    call = door.listen()
    await call.read()
    await asyncio.sleep(0.02)  # the reader is slow, and is not told off for it
    assert (await failure(call.read())).details() == "too slow"
    assert seen == [True]
    assert untouched()


async def test_wait_for_works_around_anything_a_handler_awaits(open_in_process: Open) -> None:
    async def wait(request: StringValue, context: Any) -> None:
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(asyncio.Event().wait(), 0.01)
        await asyncio.wait_for(context.write(text_of("a")), 10)

    door = await open_in_process(listen=wait)
    assert await texts(door.listen()) == ["a"]
    assert untouched()


async def test_a_failing_task_group_fails_its_handler_only(open_in_process: Open) -> None:
    async def fail() -> None:
        await asyncio.sleep(0)
        raise LookupError

    async def group(request: StringValue, context: Any) -> StringValue:
        try:
            async with asyncio.TaskGroup() as tasks:
                tasks.create_task(fail())
                await asyncio.Event().wait()
        except* LookupError:
            pass
        return text_of("recovered")

    door = await open_in_process(ask=group)
    assert (await door.ask()).value == "recovered"
    assert untouched()


async def test_a_deadline_inside_a_time_limit_is_not_taken_for_it(open_in_process: Open) -> None:
    seen: list[str] = []

    async def limit(request: StringValue, context: Any) -> StringValue:
        try:
            async with asyncio.timeout(10):
                await asyncio.Event().wait()
        except TimeoutError:
            seen.append("time limit")
        except asyncio.CancelledError:
            seen.append("cancelled")
            raise
        return text_of("never")

    door = await open_in_process(ask=limit)
    error = await failure(door.ask(timeout=0.01))
    assert error.code() is grpc.StatusCode.DEADLINE_EXCEEDED
    assert seen == ["cancelled"]


async def test_a_handler_that_cancels_its_own_task_ends_with_its_call(
    open_in_process: Open,
) -> None:
    async def cancel_itself(request: StringValue, context: Any) -> StringValue:
        task = asyncio.current_task()
        assert task is not None
        task.cancel()
        await asyncio.sleep(0)
        return text_of("never")

    door = await open_in_process(ask=cancel_itself)
    assert (await failure(door.ask())).code() is grpc.StatusCode.UNKNOWN
    assert untouched()


@asynccontextmanager
async def dripping_site(closed: asyncio.Event) -> AsyncIterator[str]:
    """A site that answers in two parts and then stalls; `closed` tells that its client left."""

    async def drip(request: web.Request) -> web.StreamResponse:
        response = web.StreamResponse()
        await response.prepare(request)
        try:
            for part in (b"a", b"b"):
                await response.write(part)
                await asyncio.sleep(0.01)
            await asyncio.Event().wait()
        finally:
            closed.set()
        return response

    app = web.Application()
    app.router.add_get("/", drip)
    runner = web.AppRunner(app, handler_cancellation=True)
    await runner.setup()
    try:
        site = web.TCPSite(runner, "127.0.0.1", 0)
        await site.start()
        yield f"http://127.0.0.1:{runner.addresses[0][1]}/"
    finally:
        await runner.cleanup()


@pytest.mark.parametrize("end", ["time limit", "cancel", "deadline"])
async def test_an_http_client_in_a_handler_times_out_and_is_closed_as_ever(
    open_in_process: Open, end: str
) -> None:
    closed = asyncio.Event()

    async def fetch(request: StringValue, context: Any) -> None:
        limit = aiohttp.ClientTimeout(total=0.1 if end == "time limit" else 10)
        async with (
            aiohttp.ClientSession(timeout=limit) as http,
            http.get(request.value) as response,
        ):
            while data := await response.content.readany():
                await context.write(text_of(data.decode()))

    door = await open_in_process(listen=fetch)
    async with dripping_site(closed) as url:
        call = door.listen(url, timeout=0.1 if end == "deadline" else 10)
        assert (await call.read()).value == "a"
        assert (await call.read()).value == "b"
        if end == "cancel":
            reading = asyncio.create_task(call.read())
            await asyncio.sleep(0)
            reading.cancel()
            with pytest.raises(asyncio.CancelledError):
                await reading
        elif end == "deadline":
            error = await failure(call.read())
            assert error.code() is grpc.StatusCode.DEADLINE_EXCEEDED
        else:
            error = await failure(call.read())
            assert "TimeoutError" in str(error.details())
        await soon(closed)
    assert untouched()
