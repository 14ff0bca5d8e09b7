"""Server interceptors, and the context variables they set, through both doors."""

from __future__ import annotations

import asyncio
import contextlib
import contextvars
from typing import Any

import grpc
import pytest
from google.protobuf.wrappers_pb2 import StringValue

from tests.unit.channel.doors import (
    SERVICE,
    Open,
    failure,
    failure_of_stream,
    text_of,
)

user: contextvars.ContextVar[str] = contextvars.ContextVar("user", default="nobody")


class Recording(grpc.aio.ServerInterceptor):
    def __init__(self, name: str, seen: list[Any]) -> None:
        self.name = name
        self.seen = seen

    async def intercept_service(self, continuation: Any, handler_call_details: Any) -> Any:
        metadata = dict(handler_call_details.invocation_metadata)
        self.seen.append((self.name, handler_call_details.method, metadata.get("key")))
        return await continuation(handler_call_details)


class Stubborn(grpc.aio.ServerInterceptor):
    """Takes its time, is not to be cancelled, and then knows no such method."""

    async def intercept_service(self, continuation: Any, handler_call_details: Any) -> Any:
        with contextlib.suppress(asyncio.CancelledError):
            await asyncio.sleep(60)


class Deciding(grpc.aio.ServerInterceptor):
    """Does what the call's metadata says."""

    async def intercept_service(self, continuation: Any, handler_call_details: Any) -> Any:
        match dict(handler_call_details.invocation_metadata).get("do"):
            case "refuse":
                return grpc.unary_unary_rpc_method_handler(refuse)
            case "forget":
                return None
            case "fail":
                raise LookupError("in the interceptor")
            case name:
                user.set(str(name))
                return await continuation(handler_call_details)


async def refuse(request: Any, context: Any) -> None:
    await context.abort(grpc.StatusCode.UNAUTHENTICATED, "who are you?", (("hint", "key"),))


async def tell_user(request: StringValue, context: Any) -> StringValue:
    before = user.get()
    user.set("changed by the handler")
    return text_of(before)


async def write_user(request: StringValue, context: Any) -> None:
    await context.write(await tell_user(request, context))
    await context.write(text_of(user.get()))


async def test_interceptors_run_in_order_and_see_method_and_metadata(open_both: Open) -> None:
    seen: list[Any] = []
    interceptors = [Recording("outer", seen), Recording("inner", seen)]
    door = await open_both(ask=tell_user, interceptors=interceptors)
    await door.ask(metadata=(("key", "secret"),))
    method = f"/{SERVICE}/Ask"
    assert seen == [("outer", method, "secret"), ("inner", method, "secret")]


@pytest.mark.parametrize(
    ("do", "code", "details"),
    [
        ("refuse", grpc.StatusCode.UNAUTHENTICATED, "who are you?"),
        ("forget", grpc.StatusCode.UNIMPLEMENTED, "Method not found!"),
        (
            "fail",
            grpc.StatusCode.UNKNOWN,
            "Unexpected <class 'LookupError'>: in the interceptor",
        ),
    ],
)
async def test_an_interceptor_may_end_the_call_whatever_its_kind(
    open_both: Open, do: str, code: grpc.StatusCode, details: str
) -> None:
    door = await open_both(ask=tell_user, listen=write_user, interceptors=[Deciding()])
    metadata = (("do", do),)
    unary = await failure(door.ask(metadata=metadata))
    stream = await failure_of_stream(door.listen(metadata=metadata))
    for error in (unary, stream):
        assert (error.code(), error.details()) == (code, details)
        assert dict(error.trailing_metadata()) == ({"hint": "key"} if do == "refuse" else {})


async def test_a_call_that_has_ended_stays_as_it_is_whatever_an_interceptor_says_then(
    open_both: Open, caplog: pytest.LogCaptureFixture
) -> None:
    door = await open_both(ask=tell_user, interceptors=[Stubborn()])
    error = await failure(door.ask(timeout=0.05))
    assert error.code() is grpc.StatusCode.DEADLINE_EXCEEDED
    await door.server.stop(0)
    assert not caplog.records


async def test_a_variable_set_by_an_interceptor_is_the_handlers_and_nobody_elses(
    open_both: Open,
) -> None:
    door = await open_both(ask=tell_user, listen=write_user, interceptors=[Deciding()])
    user.set("the caller")
    assert (await door.ask(metadata=(("do", "alice"),))).value == "alice"
    call = door.listen(metadata=(("do", "bob"),))
    assert (await call.read()).value == "bob"
    assert user.get() == "the caller"
    assert (await call.read()).value == "changed by the handler"
    assert user.get() == "the caller"
    call.cancel()


async def test_a_callers_variables_do_not_reach_the_handler(open_both: Open) -> None:
    door = await open_both(ask=tell_user)
    user.set("the caller")
    for _ in range(2):  # nor does one call's reach the next
        assert (await door.ask()).value == "nobody"
