"""A call that fits in a frame is one each way; what does not is said in as many as it takes."""

from __future__ import annotations

import asyncio
from typing import Any

import grpc
import pytest
from google.protobuf.wrappers_pb2 import StringValue
from llmbase.relay.v1.relay_pb2 import CallerFrame, RelayRequest, WholeRequest

from channel.calls import UnaryUnaryCall
from channel.metadata import Entries
from relay.frames import LARGEST_METADATA, LARGEST_REQUEST, PART
from tests.unit.channel.doors import SERVICE, text_of, texts
from tests.unit.relay.pipes import LARGEST, Relayed, outcome, relayed, settled

ASKED = ["whole_request"]
OPENED = ["open", "message", "half_close"]
EARLY, LATE = (("early", "1"), ("early", "2"), ("empty", "")), (("late", "3"),)
BYTES = (("late-bin", b"\x00\xff"),)


def begin(both: Relayed, metadata: Entries = (), text: str = "") -> UnaryUnaryCall[Any, Any]:
    request, decode = text_of(text).SerializeToString(), StringValue.FromString
    return UnaryUnaryCall(both.client.begin(f"/{SERVICE}/Ask", request, metadata, None, decode))


def said(both: Relayed) -> list[str]:
    return both.pipe.down.kinds()[1:]  # after the welcome


class Handler:
    """Sends the metadata that it is given, and answers with what it was sent."""

    def __init__(self, early: Entries = EARLY, late: Entries = LATE, details: str = "") -> None:
        self.early, self.late, self.details = early, late, details
        self.heard: list[tuple[str, str | bytes]] = []

    async def answer(self, request: StringValue, context: Any) -> StringValue:
        self.heard = [(key, value) for key, value in context.invocation_metadata()]
        await context.send_initial_metadata(self.early)
        context.set_trailing_metadata(self.late)
        context.set_details(self.details)
        return request


async def test_all_of_a_call_is_in_its_two_frames() -> None:
    handler = Handler()
    async with relayed(ask=handler.answer) as both:
        call = begin(both, (("one", "1"), ("two", ""), ("one", "again")), "whole")
        assert (await call).value == "whole"
        assert handler.heard == [("one", "1"), ("two", ""), ("one", "again")]
        assert list(await call.initial_metadata()) == [*EARLY]
        assert list(await call.trailing_metadata()) == [*LATE]
        assert (await call.code(), await call.details()) == (grpc.StatusCode.OK, "")
        assert (both.pipe.up.kinds(), said(both)) == (ASKED, ["whole_answer"])
        assert (both.client.calls, both.server.calls) == (0, 0)


async def test_metadata_of_bytes_opens_a_call_in_frames_of_its_own() -> None:
    handler = Handler()
    async with relayed(ask=handler.answer) as both:
        await begin(both, BYTES)
        assert handler.heard == [*BYTES]
        assert both.pipe.up.kinds() == OPENED
        assert said(both) == ["initial_metadata", "message", "status"]


@pytest.mark.parametrize(
    ("handler", "kinds"),
    [
        (Handler(late=BYTES), ["whole_answer"]),
        (Handler(early=(*EARLY, *BYTES)), ["initial_metadata", "message", "status"]),
        (Handler(details="fine"), ["initial_metadata", "message", "status"]),
        (Handler(early=(), late=()), ["whole_answer"]),
        (
            Handler((("a", "x" * 40_000),), (("b", "x" * (LARGEST_METADATA - 40_000)),)),
            ["initial_metadata", "message", "status"],
        ),
    ],
)
async def test_what_a_whole_answer_has_no_place_for_arrives_all_the_same(
    handler: Handler, kinds: list[str]
) -> None:
    async with relayed(ask=handler.answer) as both:
        call = begin(both, text="whole")
        assert (await call).value == "whole"
        assert tuple(await call.initial_metadata()) == handler.early
        assert tuple(await call.trailing_metadata()) == handler.late
        assert await call.details() == handler.details
        assert (both.pipe.up.kinds(), said(both)) == (ASKED, kinds)


@pytest.mark.parametrize(
    ("size", "kinds"),
    [(PART, ["whole_answer"]), (PART + 1, ["initial_metadata", "part", "message", "status"])],
)
async def test_an_answer_that_needs_parts_is_not_whole(size: int, kinds: list[str]) -> None:
    handler = Handler()
    async with relayed(ask=handler.answer) as both:
        text = "x" * (size - 4)  # the text's own frame is four bytes
        assert (await begin(both, text=text)).value == text
        assert said(both) == kinds


async def test_initial_metadata_does_not_wait_for_the_answer() -> None:
    go_on = asyncio.Event()

    async def answer(request: StringValue, context: Any) -> StringValue:
        await context.send_initial_metadata(EARLY)
        await go_on.wait()
        return request

    async with relayed(ask=answer) as both:
        call = begin(both)
        assert list(await call.initial_metadata()) == [*EARLY]
        assert not call.done()
        go_on.set()
        await call
        assert list(await call.initial_metadata()) == [*EARLY]
        assert said(both) == ["initial_metadata", "whole_answer"]
        assert not both.pipe.down.frames[-1].whole_answer.initial_metadata  # once is enough


async def test_a_call_that_fails_says_so_with_its_metadata() -> None:
    async def fail(request: StringValue, context: Any) -> StringValue:
        await context.send_initial_metadata(EARLY)
        await context.abort(grpc.StatusCode.ABORTED, "not today", LATE)
        return request

    async with relayed(ask=fail) as both:
        error = await outcome(begin(both))
        assert (error.code(), error.details()) == (grpc.StatusCode.ABORTED, "not today")
        assert (tuple(error.initial_metadata()), tuple(error.trailing_metadata())) == (EARLY, LATE)
        assert said(both) == ["initial_metadata", "status"]


async def test_a_stream_of_answers_is_asked_for_in_one_frame() -> None:
    async def write(request: StringValue, context: Any) -> None:
        await context.send_initial_metadata(EARLY)
        for word in ("one", "two"):
            await context.write(text_of(word))

    async with relayed(listen=write) as both:
        call = both.listen()
        assert await texts(call) == ["one", "two"]
        assert list(await call.initial_metadata()) == [*EARLY]
        assert both.pipe.up.kinds() == ASKED
        assert said(both) == ["initial_metadata", "message", "message", "status"]


@pytest.mark.parametrize("how", ["credit", "room"])
async def test_a_whole_answer_waits_like_any_other_and_its_metadata_does_not(how: str) -> None:
    handler = Handler()
    async with relayed(ask=handler.answer) as both:
        if how == "room":
            both.pipe.down.open.clear()
            both.server._outbox.put(5 * 2**20, call=9, message=b"")
        credit = 0 if how == "credit" else 1000
        asked = WholeRequest(method=f"/{SERVICE}/Ask", credit=credit)
        await both.pipe.up.write(RelayRequest(frames=[CallerFrame(call=1, whole_request=asked)]))
        await settled()
        assert both.server.calls == 1
        if how == "credit":
            assert said(both) == ["initial_metadata"]
            await both.pipe.up.write(RelayRequest(frames=[CallerFrame(call=1, credit=1)]))
        both.pipe.down.open.set()
        await settled()
        told = [frame.WhichOneof("kind") for frame in both.pipe.down.frames if frame.call == 1]
        assert told == ["initial_metadata", "message", "status"]
        assert both.server.calls == 0


@pytest.mark.parametrize("turns", [0, 1])
async def test_credit_that_comes_while_the_handler_waits_leaves_it_alone(turns: int) -> None:
    go_on, steps = asyncio.Event(), []

    async def wait(request: StringValue, context: Any) -> StringValue:
        for _ in range(turns):
            steps.append("a turn")
            await asyncio.sleep(0)
        steps.append("waits")
        await go_on.wait()
        return request

    async with relayed(ask=wait) as both:
        asked = WholeRequest(method=f"/{SERVICE}/Ask", credit=1000)
        both.server._receive(CallerFrame(call=1, whole_request=asked))
        both.server._look_at_due()
        for _ in range(3):
            both.server._receive(CallerFrame(call=1, credit=1))
        assert steps == (["a turn"] if turns else ["waits"])
        go_on.set()
        await settled()
        assert steps == [*["a turn"] * turns, "waits"]
        assert said(both) == ["whole_answer"]


async def test_a_call_that_is_cancelled_in_the_turn_in_which_it_began_never_starts() -> None:
    started = []

    async def note(request: StringValue, context: Any) -> StringValue:
        started.append(request.value)
        return request

    async with relayed(ask=note) as both:
        calls = [begin(both, text=name) for name in ("left", "kept")]
        calls[0].cancel()
        await settled()
        assert started == ["kept"]
        assert len(both.pipe.up.seen) == 1
        assert (await calls[1]).value == "kept"
        assert (both.client.calls, both.server.calls) == (0, 0)


async def test_a_whole_answer_over_the_limit_of_the_caller_is_refused_and_ends_once() -> None:
    handler = Handler()
    async with relayed(ask=handler.answer) as both:
        both.client._largest_message = 100
        error = await outcome(begin(both, text="x" * 1000))
        assert error.code() is grpc.StatusCode.RESOURCE_EXHAUSTED
        await settled()
        assert (both.client.calls, both.server.calls) == (0, 0)
        assert (await begin(both, text="x")).value == "x"


async def test_the_largest_request_in_one_piece_is_whole() -> None:
    handler = Handler()
    async with relayed(ask=handler.answer) as both:
        assert LARGEST > LARGEST_REQUEST
        await begin(both, text="x" * (LARGEST_REQUEST - 4))
        await begin(both, text="x" * (LARGEST_REQUEST - 3))
        kinds = [kind for kind in both.pipe.up.kinds() if kind != "credit"]
        assert kinds == [*ASKED, "open", "part", "message", "half_close"]
