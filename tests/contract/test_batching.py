"""How an answer's bytes come, and how fast they are taken, never changes what the caller is told.

From the provider's reader to the rendered events, with the in-process channel between, in virtual
time: the same bytes are cut, paced and read in many ways, and fail at the same byte.
"""

from __future__ import annotations

import asyncio
import itertools
import json
from dataclasses import dataclass
from typing import Any

import grpc
from hypothesis import given, settings
from hypothesis import strategies as st
from llmbase.v1 import chat_completion_pb2 as pb
from llmbase.v1.chat_completion_pb2_grpc import (
    ChatCompletionServiceServicer,
    ChatCompletionServiceStub,
    add_ChatCompletionServiceServicer_to_server,
)

from channel.in_process import InProcessServer
from gateway.transcoding.chunks import StreamRenderer
from service.config import TimeoutsConfig
from service.errors import FaultKind, ProviderFault
from service.providers.call import Wait
from service.providers.dialects.openai import OpenAiDialect
from service.providers.http_client.response import Response
from service.providers.provider_stream import ProviderStream
from tests.unit import virtual_time

_ERROR = {"error": {"message": "it broke", "type": "server_error", "code": 500}}
_USAGE = {"prompt_tokens": 3, "completion_tokens": 5, "total_tokens": 8}


@dataclass
class Way:
    """Where the bytes are cut, the seconds before each piece, and before each of the reads."""

    cuts: list[int]
    pauses: list[float]
    reads: list[float]
    include_usage: bool


class _Connection:
    """What a response comes over: it stands."""

    paused = False

    def resume(self) -> None:
        pass

    def linger(self) -> None:
        pass

    def abort(self) -> None:
        pass


class _Service(ChatCompletionServiceServicer):
    """Passes one provider stream on; a fault becomes the call's status."""

    def __init__(self, response: Response) -> None:
        self._response = response

    async def StreamChatCompletion(self, request: Any, context: Any) -> None:  # noqa: N802
        dialect, loop = OpenAiDialect(), asyncio.get_running_loop()
        total = loop.call_later(600, lambda: None)
        stream = ProviderStream(
            self._response,
            dialect.framer(),
            dialect.decode_stream(2),
            wait := Wait(),
            TimeoutsConfig(),
            2**20,
            total,
        )
        try:
            with wait:
                await stream.open()
            while (chunk := await stream.read()) is not None:
                await context.write(chunk)
        except ProviderFault as fault:
            await context.abort(grpc.StatusCode.UNAVAILABLE, fault.kind.value)
        finally:
            stream.close()


async def _feed(response: Response, body: bytes, broken: bool, way: Way) -> None:
    places = [0, *sorted(min(cut, len(body)) for cut in way.cuts), len(body)]
    for (start, end), pause in zip(
        itertools.pairwise(places), itertools.cycle(way.pauses), strict=False
    ):
        if pause:
            await asyncio.sleep(pause)
        if start < end:
            response.feed(body[start:end])
    response.end(clean=not broken)


async def _ask(body: bytes, broken: bool, way: Way) -> tuple[bytes, str]:
    """Return the events that a caller is sent, and how the call ends."""
    response = Response(_Connection(), 200, {}, b"", asyncio.get_running_loop())
    server = InProcessServer()
    add_ChatCompletionServiceServicer_to_server(_Service(response), server)
    feeding = asyncio.create_task(_feed(response, body, broken, way))
    renderer, events = StreamRenderer(way.include_usage), []
    reads = itertools.cycle(way.reads)
    call = ChatCompletionServiceStub(server.channel()).StreamChatCompletion(
        pb.ChatCompletionRequest()
    )
    try:
        async for chunk in call:
            events.append(renderer.render(chunk))
            if pause := next(reads):
                await asyncio.sleep(pause)
        outcome = "OK"
    except grpc.aio.AioRpcError as error:
        outcome = str(error.details())
    await feeding
    await server.stop(None)
    return b"".join(events), outcome


def _told(events: bytes) -> dict[str, Any]:
    """Fold events into what they say: pieces are joined, all else is kept as it came."""
    said: dict[str, Any] = {
        "done": events.endswith(b"data: [DONE]\n\n"),
        "usage": [],
        "choices": {},
    }
    for event in events.split(b"\n\n")[:-1]:
        data = event.removeprefix(b"data: ")
        if data == b"[DONE]":
            continue
        chunk = json.loads(data)
        if chunk.get("usage"):
            said["usage"].append(chunk["usage"])
        for choice in chunk["choices"]:
            told = said["choices"].setdefault(choice["index"], {"events": 0, "finish": []})
            _add(told, choice["delta"])
            told["events"] += 1
            if choice["finish_reason"]:
                told["finish"].append(choice["finish_reason"])
    return said


def _add(told: dict[str, Any], delta: dict[str, Any]) -> None:
    for key, value in delta.items():
        if key != "tool_calls":
            told[key] = told.get(key, "") + value
    for piece in delta.get("tool_calls", ()):
        call = told.setdefault("calls", {}).setdefault(piece["index"], {"arguments": ""})
        call |= {key: piece[key] for key in ("id", "type") if key in piece}
        call["name"] = call.get("name", "") + piece["function"].get("name", "")
        call["arguments"] += piece["function"]["arguments"]


def _event(choice: dict[str, Any], index: int, **more: Any) -> dict[str, Any]:
    return {"choices": [{"index": index, "delta": choice, **more}]}


_WORDS = st.text(st.characters(exclude_categories=["Cs"]), max_size=6)
_CALL = {"index": 0, "id": "call_1", "function": {"name": "look", "arguments": ""}}
_DELTAS = st.one_of(
    _WORDS.map(lambda text: {"content": text}),
    _WORDS.map(lambda text: {"reasoning_content": text}),
    st.tuples(_WORDS, _WORDS).map(lambda it: {"content": it[0], "refusal": it[1]}),
    _WORDS.map(lambda text: {"tool_calls": [{"index": 0, "function": {"arguments": text}}]}),
    st.just({"role": "assistant", "content": ""}),
)
_PIECES = st.lists(st.builds(_event, _DELTAS, st.integers(0, 1)), max_size=8)
_SECONDS = st.sampled_from([0.0, 0.0, 0.001, 0.02, 0.1])
_WAYS = st.builds(
    Way,
    cuts=st.lists(st.integers(0, 2500), max_size=8),
    pauses=st.lists(_SECONDS, min_size=1, max_size=4),
    reads=st.lists(_SECONDS, min_size=1, max_size=4),
    include_usage=st.booleans(),
)


@st.composite
def _bodies(draw: st.DrawFn) -> tuple[bytes, bool]:
    """The bytes of a stream, whole or wrong somewhere; and whether the connection breaks."""
    given: list[Any] = [
        _event({"tool_calls": [_CALL]}, 0),
        *draw(_PIECES),
        _event({}, 0, finish_reason="stop"),
        _event({}, 1, finish_reason="length"),
        {"choices": [], "usage": _USAGE},
    ]
    kind = draw(st.sampled_from(["whole", "whole", "cut", "reset", "error", "garbage"]))
    if kind in ("error", "garbage"):
        given.insert(draw(st.integers(0, len(given))), _ERROR if kind == "error" else ["?"])
    end = draw(st.sampled_from(["\n\n", "\r\n\r\n", "\n: ping\n\n"]))
    events = [f"data: {json.dumps(it, ensure_ascii=False)}{end}" for it in given]
    body = "".join([*events, "data: [DONE]\n\n"]).encode()
    if kind in ("cut", "reset"):
        body = body[: draw(st.integers(0, len(body)))]
    return body, kind == "reset"


@given(body=_bodies(), way=_WAYS)
@settings(deadline=None, max_examples=250)
def test_batching_never_changes_the_canonical_answer(body: tuple[bytes, bool], way: Way) -> None:
    at_once = Way([], [0.0], [0.0], way.include_usage)
    expected, expected_end = virtual_time.run(_ask(*body, at_once))
    events, end = virtual_time.run(_ask(*body, way))
    assert end == expected_end
    assert _told(events) == _told(expected)
    # Not only the same when joined: the provider's pieces themselves are kept apart.
    assert events == expected


def test_the_property_can_fail() -> None:
    """Whole and broken answers are what they are: the comparison is not one of nothings."""
    body = b"".join(
        b"data: " + json.dumps(it).encode() + b"\n\n"
        for it in (_event({"content": "a"}, 0), _event({"content": "b"}, 1), _ERROR)
    )
    way = Way([10, 70], [0.02], [0.001], False)
    events, end = virtual_time.run(_ask(body, False, way))
    assert end != "OK"
    assert _told(events)["choices"][0]["content"] == "a"
    assert _told(events)["choices"][1]["content"] == "b"
    _, end = virtual_time.run(_ask(body[:40], True, way))
    assert end == FaultKind.TRUNCATED.value
