"""Metadata in both directions, through both doors."""

from __future__ import annotations

import asyncio
import copy
from typing import Any

import grpc
import pytest
from google.protobuf.wrappers_pb2 import StringValue

from channel.metadata import received
from tests.unit.channel.doors import Open, failure, text_of, texts

MORE = (("x", "y"),)
SENT = (("one", "1"), ("bytes-bin", b"\x00\xff"), ("one", "again"), ("as-bytes", b"text"))


async def test_the_handler_sees_what_the_caller_sent_as_pairs_of_text_and_text_or_bytes(
    open_both: Open,
) -> None:
    seen: list[Any] = []

    async def look(request: StringValue, context: Any) -> StringValue:
        seen.append(context.invocation_metadata())
        return text_of("")

    door = await open_both(ask=look)
    for metadata in (
        SENT,
        list(SENT),
        grpc.aio.Metadata(*SENT),
        map(iter, SENT),
        tuple(map(list, SENT)),
        tuple(map(iter, SENT)),
    ):
        await door.ask(metadata=metadata)
        entries = seen.pop()
        assert isinstance(entries, tuple)
        assert {entry.key: entry.value for entry in entries}.items() >= {
            "as-bytes": "text",
            "bytes-bin": b"\x00\xff",
        }.items()
        assert [value for key, value in entries if key == "one"] == ["1", "again"]
    await door.ask()
    assert [key for key, _ in seen.pop() if key != "user-agent"] == []


@pytest.mark.parametrize(
    ("metadata", "refusal"),
    [
        ((("Upper", "x"),), grpc.aio.InternalError),
        ((("", "x"),), grpc.aio.InternalError),
        ((("with space", "x"),), grpc.aio.InternalError),
        ((("key", "é"),), grpc.aio.InternalError),
        ((("key", "two\nlines"),), grpc.aio.InternalError),
        ((("key", 1),), TypeError),
        ((("key-bin", "text"),), TypeError),
        ((*MORE, ("Upper", "x")), grpc.aio.InternalError),
        ((*MORE, ("key", "é"), *MORE), grpc.aio.InternalError),
        ((*MORE, ("key", 1)), TypeError),
        ((*MORE, ("key-bin", "text")), TypeError),
    ],
)
async def test_metadata_that_cannot_travel_is_refused(
    open_both: Open, metadata: Any, refusal: type[Exception]
) -> None:
    async def echo(request: StringValue, context: Any) -> StringValue:
        return request

    door = await open_both(ask=echo)
    with pytest.raises(refusal):
        await door.ask(metadata=metadata)


async def test_the_caller_sees_initial_and_trailing_metadata(open_both: Open) -> None:
    async def send_both(request: StringValue, context: Any) -> StringValue:
        await context.send_initial_metadata((("early", "1"), ("early-bin", b"\x00")))
        context.set_trailing_metadata((("late", "2"), ("late-bin", b"\x01")))
        assert dict(context.trailing_metadata()) == {"late": "2", "late-bin": b"\x01"}
        return text_of("")

    door = await open_both(ask=send_both)
    call = door.ask()
    await call
    initial, trailing = await call.initial_metadata(), await call.trailing_metadata()
    assert isinstance(initial, grpc.aio.Metadata)
    assert isinstance(trailing, grpc.aio.Metadata)
    assert dict(initial) == {"early": "1", "early-bin": b"\x00"}
    assert dict(trailing) == {"late": "2", "late-bin": b"\x01"}


async def test_a_failed_call_carries_both_kinds_too(open_both: Open) -> None:
    async def send_and_fail(request: StringValue, context: Any) -> None:
        await context.send_initial_metadata((("early", "1"),))
        await context.abort(grpc.StatusCode.ABORTED, "", (("late", "2"),))

    door = await open_both(ask=send_and_fail)
    error = await failure(door.ask())
    assert dict(error.initial_metadata()) == {"early": "1"}
    assert dict(error.trailing_metadata()) == {"late": "2"}


async def test_initial_metadata_is_there_as_soon_as_it_is_sent(open_both: Open) -> None:
    go_on = asyncio.Event()

    async def send_and_wait(request: StringValue, context: Any) -> None:
        await context.send_initial_metadata((("early", "1"),))
        await go_on.wait()
        await context.write(text_of("a"))

    door = await open_both(listen=send_and_wait)
    call = door.listen()
    assert dict(await call.initial_metadata()) == {"early": "1"}
    assert not call.done()
    go_on.set()
    assert await texts(call) == ["a"]


async def test_initial_metadata_is_awaited_beside_a_read(open_both: Open) -> None:
    async def send_then_write(request: StringValue, context: Any) -> None:
        await asyncio.sleep(0)
        await context.send_initial_metadata((("early", "1"),))
        await asyncio.sleep(0)
        await context.write(text_of("a"))

    door = await open_both(listen=send_then_write)
    call = door.listen()
    message, initial = await asyncio.gather(call.read(), call.initial_metadata())
    assert message.value == "a"
    assert dict(initial) == {"early": "1"}
    assert await call.read() is grpc.aio.EOF


async def test_initial_metadata_is_there_while_another_waits_for_a_message(
    open_both: Open,
) -> None:
    send, write = asyncio.Event(), asyncio.Event()

    async def send_and_wait(request: StringValue, context: Any) -> None:
        await send.wait()
        await context.send_initial_metadata((("early", "1"),))
        await write.wait()
        await context.write(request)

    door = await open_both(listen=send_and_wait)
    call = door.listen("a")
    read = asyncio.create_task(call.read())
    told = asyncio.create_task(call.initial_metadata())
    await asyncio.sleep(0)
    send.set()
    assert dict(await told) == {"early": "1"}
    assert not read.done()
    write.set()
    assert (await read).value == "a"
    call.cancel()


async def test_a_task_of_the_handler_may_send_it(open_both: Open) -> None:
    async def send_elsewhere(request: StringValue, context: Any) -> None:
        await asyncio.create_task(context.send_initial_metadata((("early", "1"),)))
        await asyncio.Event().wait()

    door = await open_both(listen=send_elsewhere)
    call = door.listen()
    assert dict(await call.initial_metadata()) == {"early": "1"}
    call.cancel()


async def test_the_first_message_sends_it_empty(open_both: Open) -> None:
    refused: list[Exception] = []

    async def too_late(request: StringValue, context: Any) -> None:
        await context.write(text_of("a"))
        try:
            await context.send_initial_metadata((("late", "1"),))
        except grpc.aio.UsageError as error:
            refused.append(error)

    door = await open_both(listen=too_late)
    call = door.listen()
    assert await call.initial_metadata() == grpc.aio.Metadata()
    assert await texts(call) == ["a"]
    assert len(refused) == 1


@pytest.mark.parametrize("trailing", [{"a": "b"}, ("ab",), (("a", 1),), ((b"a", "b"),)])
async def test_trailing_metadata_of_another_shape_is_a_type_error(
    open_both: Open, trailing: Any
) -> None:
    async def set_wrong(request: StringValue, context: Any) -> StringValue:
        with pytest.raises(TypeError):
            context.set_trailing_metadata(trailing)
        return text_of("still fine")

    door = await open_both(ask=set_wrong)
    assert (await door.ask()).value == "still fine"


async def test_trailing_metadata_that_cannot_travel_makes_the_call_fail(open_both: Open) -> None:
    async def set_upper_case(request: StringValue, context: Any) -> StringValue:
        context.set_trailing_metadata((("Upper", "x"),))
        return text_of("")

    async def abort_with_a_list(request: StringValue, context: Any) -> None:
        await context.abort(grpc.StatusCode.ABORTED, "", [("a", "b")])

    door = await open_both(ask=set_upper_case, listen=abort_with_a_list)
    assert (await failure(door.ask())).code() is grpc.StatusCode.INTERNAL
    assert (await failure(door.listen().read())).code() is grpc.StatusCode.UNKNOWN


def _add(metadata: Any) -> None:
    metadata.add("new", "1")
    metadata.add("a", "again")


def _set(metadata: Any) -> None:
    metadata["a"] = "other"
    metadata.set_all("more", ["1", "2"])


def _delete(metadata: Any) -> None:
    del metadata["a"]
    metadata.delete_all("b")


def _walk_then_add(metadata: Any) -> None:
    assert len(list(metadata)) == len(metadata)
    metadata.add("c", "4")


@pytest.mark.parametrize("change", [None, _add, _set, _delete, _walk_then_add])
@pytest.mark.parametrize(
    "sent",
    [
        (("a", "1"), ("b", "2"), ("c-bin", b"\x00")),
        (("a", "1"), ("b", "2"), ("a", "3")),
    ],
)
async def test_what_the_caller_gets_does_all_that_grpcs_own_type_does(
    open_both: Open, sent: Any, change: Any
) -> None:
    async def send(request: StringValue, context: Any) -> StringValue:
        await context.send_initial_metadata(sent)
        return request

    door = await open_both(ask=send)

    async def changed() -> tuple[Any, Any]:
        call = door.ask()
        await call
        ours, plain = await call.initial_metadata(), grpc.aio.Metadata(*sent)
        if change is not None:
            change(ours)
            change(plain)
        return ours, plain

    views: list[Any] = [
        tuple,
        len,
        repr,
        lambda it: list(it.keys()),
        lambda it: list(it.values()),
        lambda it: list(it.items()),
        lambda it: [it.get("a"), it.get("missing"), it.get_all("a"), it.get_all("missing")],
        lambda it: ["a" in it, "missing" in it, 1 in it],
        lambda it: tuple(it + grpc.aio.Metadata(("x", "y"))),
        lambda it: tuple(grpc.aio.Metadata(("x", "y")) + it),
        lambda it: tuple(it + MORE),
        lambda it: tuple(copy.copy(it)),
        lambda it: tuple(copy.deepcopy(it)),
        lambda it: [hasattr(it, "missing"), hasattr(it, "add")],
    ]
    for view in views:  # each of one that nothing else has looked at
        ours, plain = await changed()
        assert view(ours) == view(plain)
        assert view(ours) == view(plain)  # nor does it matter that it was looked at
    ours, plain = await changed()
    assert ours == plain
    ours, plain = await changed()
    assert plain == ours
    assert ours != grpc.aio.Metadata(("x", "y"))
    assert ours == tuple(plain)
    with pytest.raises(KeyError):
        (await changed())[0]["missing"]


def test_what_is_under_a_key_stays_known_however_many_there_are() -> None:
    for number in range(600):
        sent = ((f"key-{number}", "text"), (f"key-{number}-bin", b"bytes"))
        assert received(sent) == sent
        assert received(sent) == sent
        with pytest.raises(TypeError):
            received(((f"key-{number}-bin", "text"),))
