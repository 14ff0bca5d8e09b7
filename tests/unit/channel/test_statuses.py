"""How calls end, and what their callers hear of it, through both doors."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Any, NamedTuple

import grpc
import pytest
from google.protobuf.wrappers_pb2 import StringValue

from tests.unit.channel.doors import (
    IN_PROCESS,
    WIRE,
    Open,
    failure,
    failure_of_stream,
    open_door,
    soon,
    text_of,
    texts,
)

DETAILS = (("grpc-status-details-bin", b"\x00\xff"), ("why", "because"))


async def test_abort_ends_a_unary_call_with_code_details_and_trailing_metadata(
    open_both: Open,
) -> None:
    async def refuse(request: StringValue, context: Any) -> None:
        await context.abort(grpc.StatusCode.INVALID_ARGUMENT, "not like that", DETAILS)

    door = await open_both(ask=refuse)
    call = door.ask()
    error = await failure(call)
    assert error.code() is grpc.StatusCode.INVALID_ARGUMENT
    assert error.details() == "not like that"
    assert dict(error.trailing_metadata()) == dict(DETAILS)
    assert error.initial_metadata() == grpc.aio.Metadata()
    assert await call.code() is grpc.StatusCode.INVALID_ARGUMENT
    assert await call.details() == "not like that"
    assert dict(await call.trailing_metadata()) == dict(DETAILS)
    assert call.done()
    assert not call.cancelled()


async def test_abort_ends_a_stream_after_its_messages(open_both: Open) -> None:
    async def write_and_refuse(request: StringValue, context: Any) -> None:
        await context.write(text_of("a"))
        await context.abort(grpc.StatusCode.ABORTED, "enough", DETAILS)

    door = await open_both(listen=write_and_refuse)
    call = door.listen()
    assert (await call.read()).value == "a"
    for _ in range(2):
        error = await failure(call.read())
        assert (error.code(), error.details()) == (grpc.StatusCode.ABORTED, "enough")
        assert dict(error.trailing_metadata()) == dict(DETAILS)


async def test_abort_falls_back_on_what_was_set_before(open_both: Open) -> None:
    async def refuse(request: StringValue, context: Any) -> None:
        context.set_details("said before")
        context.set_trailing_metadata(DETAILS)
        await context.abort(grpc.StatusCode.NOT_FOUND)

    door = await open_both(ask=refuse)
    error = await failure(door.ask())
    assert (error.code(), error.details()) == (grpc.StatusCode.NOT_FOUND, "said before")
    assert dict(error.trailing_metadata()) == dict(DETAILS)


async def test_abort_with_status_takes_the_three_from_it(open_both: Open) -> None:
    class Whole(NamedTuple):
        code: grpc.StatusCode
        details: str
        trailing_metadata: tuple[tuple[str, str | bytes], ...]

    async def refuse(request: StringValue, context: Any) -> None:
        await context.abort_with_status(Whole(grpc.StatusCode.DATA_LOSS, "gone", DETAILS))

    door = await open_both(ask=refuse)
    error = await failure(door.ask())
    assert (error.code(), error.details()) == (grpc.StatusCode.DATA_LOSS, "gone")
    assert dict(error.trailing_metadata()) == dict(DETAILS)


async def test_the_caller_does_not_wait_for_what_a_handler_does_after_its_abort(
    open_both: Open,
) -> None:
    told, cleaned = asyncio.Event(), asyncio.Event()

    async def refuse_and_clean(request: StringValue, context: Any) -> None:
        try:
            await context.abort(grpc.StatusCode.ABORTED, "first")
        finally:
            await told.wait()
            cleaned.set()

    door = await open_both(listen=refuse_and_clean)
    assert (await failure_of_stream(door.listen())).details() == "first"
    assert not cleaned.is_set()
    told.set()
    await soon(cleaned)


async def test_a_handler_that_suppresses_its_abort_can_do_no_more(open_both: Open) -> None:
    ended = asyncio.Event()
    seen: list[BaseException] = []

    async def go_on(request: StringValue, context: Any) -> None:
        with pytest.raises(grpc.aio.AbortError):
            await context.abort(grpc.StatusCode.ABORTED, "stop")
        for forbidden in (context.write(text_of("more")), context.send_initial_metadata(())):
            try:
                await forbidden
            except grpc.aio.AbortError as error:
                seen.append(error)
        try:
            await context.abort(grpc.StatusCode.OK)
        except grpc.aio.UsageError as error:
            seen.append(error)
        ended.set()

    door = await open_both(listen=go_on)
    assert (await failure_of_stream(door.listen())).details() == "stop"
    await soon(ended)
    assert len(seen) == 3


async def test_a_set_code_fails_the_call_and_drops_the_answer(open_both: Open) -> None:
    async def set_code(request: StringValue, context: Any) -> StringValue:
        assert (context.code(), context.details(), context.done()) == (None, "", False)
        context.set_code(grpc.StatusCode.NOT_FOUND)
        context.set_details("no such thing")
        assert context.code() is grpc.StatusCode.NOT_FOUND
        assert context.details() == "no such thing"
        return text_of("dropped")

    door = await open_both(ask=set_code)
    error = await failure(door.ask())
    assert (error.code(), error.details()) == (grpc.StatusCode.NOT_FOUND, "no such thing")


@pytest.mark.parametrize(
    ("set_before", "seen"),
    [
        (None, grpc.StatusCode.UNKNOWN),
        (grpc.StatusCode.PERMISSION_DENIED, grpc.StatusCode.PERMISSION_DENIED),
    ],
)
async def test_an_unhandled_exception_is_unknown_unless_a_code_was_set(
    open_both: Open, set_before: grpc.StatusCode | None, seen: grpc.StatusCode
) -> None:
    async def fail(request: StringValue, context: Any) -> StringValue:
        context.set_trailing_metadata(DETAILS)
        if set_before is not None:
            context.set_code(set_before)
        raise LookupError("lost")

    async def write_and_fail(request: StringValue, context: Any) -> AsyncIterator[StringValue]:
        yield text_of("a")
        await fail(request, context)

    door = await open_both(ask=fail, listen=write_and_fail)
    for error in (await failure(door.ask()), await failure_of_stream(door.listen())):
        assert error.code() is seen
        assert error.details() == "Unexpected <class 'LookupError'>: lost"
        assert dict(error.trailing_metadata()) == dict(DETAILS)


async def test_a_method_that_nobody_serves_is_unimplemented(open_both: Open) -> None:
    door = await open_both()
    for error in (await failure(door.ask_nobody()), await failure_of_stream(door.listen())):
        assert error.code() is grpc.StatusCode.UNIMPLEMENTED
        assert error.details() == "Method not found!"


async def test_a_method_that_a_generated_servicer_leaves_out_is_unimplemented(
    open_both: Open,
) -> None:
    def not_written_yet(request: StringValue, context: Any) -> StringValue:
        context.set_code(grpc.StatusCode.UNIMPLEMENTED)
        raise NotImplementedError("not yet")

    door = await open_both(ask=not_written_yet)
    assert (await failure(door.ask())).code() is grpc.StatusCode.UNIMPLEMENTED


async def test_an_answer_of_none_is_the_handlers_fault(open_both: Open) -> None:
    async def forget(request: StringValue, context: Any) -> None:
        return None

    async def write_nothing(request: StringValue, context: Any) -> None:
        await context.write(None)

    door = await open_both(ask=forget, listen=write_nothing)
    for error in (await failure(door.ask()), await failure_of_stream(door.listen())):
        assert error.code() is grpc.StatusCode.UNKNOWN
        assert "TypeError" in str(error.details())


async def test_the_wire_would_be_silent_where_a_handler_cancels_itself() -> None:
    async def cancel_itself(request: StringValue, context: Any) -> None:
        raise asyncio.CancelledError

    async with open_door(WIRE, listen=cancel_itself) as door:
        error = await failure(door.listen(timeout=0.2).read())
        assert error.code() is grpc.StatusCode.DEADLINE_EXCEEDED
    async with open_door(IN_PROCESS, listen=cancel_itself) as door:
        error = await failure(door.listen(timeout=10).read())
        assert error.code() is grpc.StatusCode.UNKNOWN


async def test_a_second_message_to_a_unary_call_is_an_error_at_once_in_process(
    open_in_process: Open,
) -> None:
    async def write_two(request: StringValue, context: Any) -> None:
        await context.write(text_of("a"))
        await context.write(text_of("b"))

    door = await open_in_process(listen=write_two)
    assert (await failure(door.ask_listener())).code() is grpc.StatusCode.INTERNAL


async def test_the_end_of_a_failed_stream_is_never_taken_for_a_good_end_in_process(
    open_in_process: Open,
) -> None:
    async def fail(request: StringValue, context: Any) -> None:
        raise LookupError("lost")

    door = await open_in_process(listen=fail)
    call = door.listen()
    await failure_of_stream(call)
    with pytest.raises(grpc.aio.AioRpcError):
        await texts(call)
