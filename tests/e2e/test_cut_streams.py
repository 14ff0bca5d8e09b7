"""After its first content a stream ends well or with a typed error: a cut is never an end."""

from __future__ import annotations

from dataclasses import dataclass

import pytest

from tests.conftest import Door
from tests.support.asking import hello
from tests.support.openai_wire import (
    DONE,
    USAGE,
    Answer,
    Call,
    Said,
    encode,
    error_body,
    event,
    says,
    stream,
)
from tests.support.scripted_upstream import ScriptedUpstream
from tests.support.scripts import Framing, Piece, Script, cut, hold, pause, reset, stall
from tests.support.signals import Signal

ROLE, HEL, LO, FINISH, USAGE_EVENT, _ = says("Hel", "lo").events()


@dataclass(frozen=True)
class Broken:
    """What the provider does once "Hel" has reached the caller, and what that is called."""

    name: str
    pieces: tuple[Piece, ...]
    code: str
    model: str = "test/one"
    text: str = "Hel"


BROKEN = [
    Broken("closes the connection", (cut,), "upstream_truncated"),
    Broken("resets the connection", (reset,), "upstream_truncated"),
    Broken("ends the body", (), "upstream_truncated"),
    Broken("is cut inside an event", (LO[:20], cut), "upstream_truncated"),
    Broken("is cut before the end of an event", (LO[:-2], cut), "upstream_truncated", text="Hello"),
    Broken("sends more, then is cut", (LO, cut), "upstream_truncated", text="Hello"),
    Broken("sends usage, then is cut", (USAGE_EVENT, cut), "upstream_truncated"),
    Broken("sends garbage", (b"data: {oops\n\n", stall), "upstream_error"),
    Broken("sends a JSON array", (b"data: []\n\n", stall), "upstream_error"),
    Broken("sends a JSON string", (b'data: "Hello"\n\n', stall), "upstream_error"),
    Broken("sends broken UTF-8", (HEL.replace(b"Hel", b"\xff\xfe"), stall), "upstream_error"),
    Broken("reports an error", (event(error_body("boom")), stall), "upstream_error"),
    Broken("reports an error, then [DONE]", (event(error_body("boom")), DONE), "upstream_error"),
    Broken(
        "reports an error by name",
        (b"event: error\ndata: " + encode(error_body("boom")) + b"\n\n", stall),
        "upstream_error",
    ),
    Broken("never ends", (*[b": " + b"x" * 1000 + b"\n\n"] * 5,), "upstream_error", "test/narrow"),
    Broken("falls silent", (stall,), "upstream_stalled", model="test/brisk"),
    Broken("says more, then falls silent", (LO, stall), "upstream_stalled", "test/brisk", "Hello"),
]


@pytest.mark.parametrize("broken", BROKEN, ids=lambda broken: broken.name)
async def test_a_stream_ends_with_a_typed_error_when_the_provider(
    broken: Broken, door: Door, upstream: ScriptedUpstream
) -> None:
    seen = Signal()
    plan = stream(ROLE, HEL, hold(seen), *broken.pieces)
    upstream.on(broken.model.removeprefix("test/"), plan)

    # The reader holds REST to it that nothing, above all no [DONE], follows an error event.
    answer = await door.ask(hello(broken.model, stream=True), first=seen)

    assert not answer.complete
    assert answer.failure is not None
    assert (answer.failure.status, answer.failure.type) == (502, "upstream_error")
    assert answer.failure.code == broken.code
    assert answer.text == broken.text
    assert answer.finish is None
    assert answer.usage is None
    assert "boom" not in answer.failure.message
    assert len(upstream.requests) == 1


def _with_a_bad_chunk_length(content_type: str, body: bytes, *steps: Piece) -> Script:
    head = f"HTTP/1.1 200 OK\r\nContent-Type: {content_type}\r\nTransfer-Encoding: chunked\r\n\r\n"
    chunk = b"%x\r\n%b\r\n" % (len(body), body)
    return Script([head.encode(), chunk, *steps, b"zz\r\n", cut], framing=Framing.RAW)


async def test_a_stream_with_a_chunk_length_that_is_no_number_is_a_cut(
    door: Door, upstream: ScriptedUpstream
) -> None:
    seen = Signal()
    upstream.on("brisk", _with_a_bad_chunk_length("text/event-stream", ROLE + HEL, hold(seen)))

    answer = await door.ask(hello("test/brisk", stream=True), first=seen)

    assert (answer.text, answer.finish, answer.complete) == ("Hel", None, False)
    assert answer.code in ("upstream_truncated", "upstream_error")


async def test_a_whole_answer_with_a_chunk_length_that_is_no_number_is_the_providers_failure(
    door: Door, upstream: ScriptedUpstream
) -> None:
    body = says("Hello").body()
    upstream.on("hasty", _with_a_bad_chunk_length("application/json", body[:40], pause(0.1)))

    answer = await door.ask(hello("test/hasty"))

    assert answer.code == "all_providers_failed"


async def test_one_of_two_choices_without_its_end_is_a_cut(
    door: Door, upstream: ScriptedUpstream
) -> None:
    events = Answer([Said(["a"]), Said(["b"], finish=None)], USAGE, done=False).events()
    upstream.on("one", stream(*events, cut))

    answer = await door.ask(hello(stream=True, n=2))

    assert not answer.complete
    assert answer.code == "upstream_truncated"
    assert [choice.finish for choice in answer.choices] == [None, None]


COMPLETE: dict[str, tuple[Piece, ...]] = {
    "its end and [DONE]": (LO, FINISH, USAGE_EVENT, DONE),
    "its end, and then the connection is closed": (LO, FINISH, USAGE_EVENT, cut),
    "its end, and then the connection is reset": (LO, FINISH, USAGE_EVENT, reset),
    "its end, and the body ends": (LO, FINISH, USAGE_EVENT),
    "its end, but no usage": (LO, FINISH, cut),
    "its end, [DONE] and garbage": (LO, FINISH, USAGE_EVENT, DONE, b"data: {oops\n\n"),
    "its end, [DONE] and an open connection": (LO, FINISH, USAGE_EVENT, DONE, stall),
    "its end and silence": (LO, FINISH, stall),
    "[DONE] without a finish word": (LO, DONE),
    "[DONE] without its blank line": (LO, FINISH, USAGE_EVENT, DONE[:-1]),
}


@pytest.mark.parametrize("name", COMPLETE)
async def test_a_stream_is_complete_that_has(
    name: str, door: Door, upstream: ScriptedUpstream
) -> None:
    seen = Signal()
    upstream.on("one", stream(ROLE, HEL, hold(seen), *COMPLETE[name]))

    answer = await door.ask(hello(stream=True), first=seen)

    assert answer.failure is None
    assert answer.complete
    assert (answer.text, answer.finish) == ("Hello", "stop")
    given = USAGE_EVENT in COMPLETE[name]
    assert answer.usage is not None
    assert answer.usage.estimated != given
    assert answer.usage.prompt == 12 or not given


async def test_done_without_a_finish_word_means_tool_calls_where_there_are_calls(
    door: Door, upstream: ScriptedUpstream
) -> None:
    role, start, arguments, *_ = says(calls=[Call("c1", "weather")]).events()
    upstream.on("one", stream(role, start, arguments, DONE))
    tool = {"type": "function", "function": {"name": "weather"}}

    answer = await door.ask(hello(stream=True, tools=[tool]))

    assert answer.complete
    assert (answer.finish, answer.choices[0].native_finish) == ("tool_calls", None)
    assert answer.calls == [("weather", "{}")]
