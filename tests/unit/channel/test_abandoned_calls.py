"""In process, a call that nobody holds on to ends, and leaves nothing behind."""

from __future__ import annotations

import asyncio
import gc
import weakref
from collections.abc import AsyncIterator
from typing import Any

import grpc
import pytest
import uvloop
from google.protobuf.wrappers_pb2 import StringValue

from channel.in_process import InProcessServer
from tests.unit.channel.doors import SERVICE, Door, Open, failure, generic_handler, soon, text_of


class Watched:
    """Something for a handler to hold while it runs."""


class Holder:
    """Handlers that write one message, wait, and can be seen to be gone."""

    def __init__(self) -> None:
        self.ended = asyncio.Event()
        self.held: weakref.ref[Watched] | None = None

    async def write(self, request: StringValue, context: Any) -> None:
        held = Watched()
        self.held = weakref.ref(held)
        try:
            await context.write(text_of("a"))
            await asyncio.Event().wait()
        finally:
            self.ended.set()

    async def generate(self, request: StringValue, context: Any) -> AsyncIterator[StringValue]:
        held = Watched()
        self.held = weakref.ref(held)
        try:
            yield text_of("a")
            await asyncio.Event().wait()
        finally:
            self.ended.set()

    def gone(self) -> bool:
        return self.held is not None and self.held() is None


@pytest.mark.parametrize("style", ["write", "generate"])
async def test_a_dropped_call_closes_its_handler(open_in_process: Open, style: str) -> None:
    holder = Holder()
    door = await open_in_process(listen=getattr(holder, style))
    async for _ in door.listen():
        break
    await soon(holder.ended)
    assert holder.gone()


async def test_a_dropped_call_still_tells_that_it_is_done(open_in_process: Open) -> None:
    holder = Holder()
    told = asyncio.Event()
    door = await open_in_process(listen=holder.write)
    call = door.listen()
    call.add_done_callback(lambda _: told.set())
    await call.read()
    del call
    await soon(told)
    await soon(holder.ended)


async def test_a_call_that_is_never_awaited_leaves_no_trace(open_in_process: Open) -> None:
    door = await open_in_process(ask=Holder().write, listen=Holder().write)
    calls = [door.ask(), door.listen(), door.ask(timeout=10)]
    calls.pop().cancel()
    calls.clear()
    await asyncio.sleep(0)
    gc.collect()  # would warn of a coroutine that was never awaited
    assert isinstance(door.server, InProcessServer)
    assert door.server.calls_of(door.channel) == []


@pytest.mark.parametrize("style", ["write", "generate"])
@pytest.mark.parametrize("end", ["cancel at a write", "cancel a read", "deadline", "abort"])
async def test_an_ended_call_is_freed_without_the_garbage_collector(
    open_in_process: Open, style: str, end: str
) -> None:
    holder = Holder()

    async def abort(request: StringValue, context: Any) -> None:
        held = Watched()
        holder.held = weakref.ref(held)
        await context.abort(grpc.StatusCode.ABORTED)

    door = await open_in_process(listen=abort if end == "abort" else getattr(holder, style))
    request = Watched()  # nothing is serialized, so anything can be asked
    requested = weakref.ref(request)
    gc.collect()
    gc.disable()
    try:
        await run_to(end, door, request)
        del request
        await asyncio.sleep(0)
        assert holder.gone()
        assert requested() is None
    finally:
        gc.enable()


async def run_to(end: str, door: Door, request: Any) -> None:
    listen: Any = door.channel.unary_stream(f"/{SERVICE}/Listen")
    call = listen(request, timeout=0.02 if end == "deadline" else None)
    if end == "abort":
        await failure(call.read())
        return
    await call.read()
    if end == "cancel at a write":
        call.cancel()
    elif end == "deadline":
        await failure(call.read())
    else:
        reading = asyncio.create_task(call.read())
        await asyncio.sleep(0)
        reading.cancel()
        with pytest.raises(asyncio.CancelledError):
            await reading


@pytest.mark.parametrize("left_to_do", ["wait", "call"])
@pytest.mark.parametrize("new_loop", [asyncio.new_event_loop, uvloop.new_event_loop])
def test_a_loop_that_is_taken_down_cancels_what_a_handler_has_left_to_do(
    new_loop: Any, left_to_do: str
) -> None:
    seen: list[str] = []
    doors: list[Door] = []

    async def never(request: StringValue, context: Any) -> StringValue:
        await asyncio.Event().wait()
        return request

    async def never_done(request: StringValue, context: Any) -> None:
        try:
            await context.write(text_of("a"))
        finally:
            try:
                await (doors[0].ask() if left_to_do == "call" else never(request, context))
            except asyncio.CancelledError:
                seen.append("cancelled again")
                raise

    async def main() -> None:
        server = InProcessServer()
        server.add_generic_rpc_handlers((generic_handler(never, never_done),))
        doors.append(Door("in process", server, server.channel()))
        call = doors[0].listen()
        await call.read()
        call.cancel()

    with asyncio.Runner(loop_factory=new_loop) as runner:
        runner.run(main())
    assert seen == ["cancelled again"]


def test_deadlines_and_cancellations_work_on_uvloop() -> None:
    async def stubborn() -> None:
        for _ in range(2):
            try:
                await asyncio.sleep(0.05)
            except asyncio.CancelledError:
                continue

    async def answer(request: StringValue, context: Any) -> StringValue:
        await asyncio.create_task(stubborn())
        return text_of("too late")

    async def main() -> None:
        server = InProcessServer()
        server.add_generic_rpc_handlers((generic_handler(answer, Holder().write),))
        door = Door("in process", server, server.channel())
        error = await failure(door.ask(timeout=0.01))
        assert error.code() is grpc.StatusCode.DEADLINE_EXCEEDED
        call = door.listen()
        assert (await call.read()).value == "a"
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.01):
                await call.read()
        assert call.cancelled()
        await server.stop(None)

    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(main())
