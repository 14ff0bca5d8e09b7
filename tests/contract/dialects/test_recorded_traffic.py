"""The OpenAI dialect against real traffic of some thirty providers, whole and cut to pieces."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from typing import Any

import pytest
from llmbase.v1 import chat_completion_pb2 as pb

from conformance.reviewed import REVIEWED
from service.errors import FaultKind, ProviderFault
from service.providers.dialects.dialect import Event
from service.providers.dialects.openai import OpenAiDialect
from tests.contract.dialects import recorded
from tests.contract.dialects.recorded import Recording
from tests.unit.service.providers.dialects.reading import (
    Said,
    fold,
    is_complete,
    read_stream,
    whole,
)

DIALECT = OpenAiDialect()
ALL = recorded.names("openai")
STREAMS = recorded.names("openai", streamed=True)

# What the contract calls a finish word that the recordings leave as it came, or do not have.
CONVENTIONS = {"eos": "stop", "function_call": "tool_calls"}

# Where we differ from what is noted beside a recording; the reasons stand there.
DIFFERENT_USAGE = {name: other.usage for name, other in REVIEWED.items() if other.usage}
DIFFERENT_CALLS = {
    name: other.calls
    for name, other in REVIEWED.items()
    if name.startswith("openai/") and other.calls is not None
}


def recording(name: str) -> Recording:
    found = Recording(name)
    assert found.meta  # skips where there are no recordings
    return found


def read(found: Recording) -> tuple[dict[int, Said], pb.Usage | None]:
    if found.meta["response_file"].endswith(".sse"):
        chunk, last = read_stream(DIALECT, [found.body])
        return fold(chunk, last), last.usage if last.HasField("usage") else None
    answer = DIALECT.decode(found.body)
    return whole(answer), answer.usage if answer.HasField("usage") else None


def wanted_calls(found: Recording) -> list[tuple[str, str]]:
    if found.name in DIFFERENT_CALLS:
        return DIFFERENT_CALLS[found.name]
    calls = found.expect["tool_calls"]
    return [(call["name"], call["arguments"] or "{}") for call in calls]


def wanted_usage(found: Recording) -> dict[str, int] | None:
    noted, different = found.expect.get("usage"), DIFFERENT_USAGE.get(found.name)
    if noted is None and different is None:
        return None
    return {key: count or 0 for key, count in ((noted or {}) | (different or {})).items()}


def wanted_finish(found: Recording) -> str:
    noted = found.expect.get("finish_openai")
    if noted is None:
        return "tool_calls" if wanted_calls(found) else "stop"
    return CONVENTIONS.get(noted, str(noted))


def message_of(error: Any) -> str:
    message: str = error["message"] if isinstance(error, dict) else error
    return message


@pytest.mark.parametrize("name", ALL)
def test_a_recorded_answer_says_what_an_independent_reader_found(name: str) -> None:
    found = recording(name)
    expect = found.expect
    errors = expect.get("errors", [])
    if found.status != 200:
        told = DIALECT.decode_error(found.status, found.body)
        assert told == (message_of(errors[0]) if errors else json.loads(found.body)["message"])
        return
    if errors:
        with pytest.raises(ProviderFault) as caught:
            read(found)
        assert (caught.value.kind, caught.value.status) == (FaultKind.REJECTED, 400)
        assert caught.value.told == message_of(errors[0])
        return
    choices, usage = read(found)
    said = choices[0]
    assert len(choices) == expect["choices"]
    assert (said.text, said.reasoning) == (expect["text"], expect["reasoning"])
    assert said.refusal == expect.get("refusal", "")
    assert [(call.name, call.arguments) for call in said.calls] == wanted_calls(found)
    if name not in DIFFERENT_CALLS:
        assert [call.id for call in said.calls] == [call["id"] for call in expect["tool_calls"]]
    assert said.finish == wanted_finish(found)
    assert said.native == expect.get("finish_native", [""])[0]
    counts = usage and {
        "prompt": usage.prompt_tokens,
        "completion": usage.completion_tokens,
        "cached": usage.cached_tokens,
        "reasoning": usage.reasoning_tokens,
    }
    assert counts == wanted_usage(found)
    assert usage is None or usage.total_tokens == usage.prompt_tokens + usage.completion_tokens


def test_every_difference_is_one() -> None:
    if ALL == [""]:
        recording("")
    for name, different in DIFFERENT_USAGE.items():
        noted = Recording(name).expect.get("usage") or {}
        assert all(noted.get(key) != count for key, count in different.items() if count), name
        if name.startswith("xai/"):
            native = Recording(name).expect["usage_native"]
            assert native["prompt_tokens"] + different["completion"] == native["total_tokens"]
    for name, calls in DIFFERENT_CALLS.items():
        assert Recording(name).expect["tool_calls"] != calls


def outcome(pieces: Iterator[bytes]) -> Any:
    """All that comes of a stream, its fault included."""
    try:
        return read_stream(DIALECT, pieces)
    except ProviderFault as fault:
        return fault.kind, fault.status, fault.told


def variants(body: bytes) -> Iterator[tuple[str, list[bytes]]]:
    lines = re.sub(rb"\r\n?", b"\n", body)
    crlf = lines.replace(b"\n", b"\r\n")
    commented = lines.replace(b"\n\n", b"\n\n: waiting\n\n:\n").replace(b"data:", b": more\ndata:")
    yield "CR LF", [crlf]
    yield "CR", [lines.replace(b"\n", b"\r")]
    yield "CR and LF apart", re.split(rb"(?<=\r)", crlf)
    yield "comments", [commented]
    yield "byte order mark", [b"\xef\xbb", b"\xbf", lines]
    yield "no blank line at the end", [lines.rstrip(b"\n")]
    for size in (1, 2, 3, 7, 64, 1000):
        yield f"in pieces of {size}", [body[i : i + size] for i in range(0, len(body), size)]
    yield "CR LF byte by byte", [crlf[i : i + 1] for i in range(len(crlf))]


@pytest.mark.parametrize("name", STREAMS)
def test_a_recorded_stream_says_the_same_however_it_comes(name: str) -> None:
    body = recording(name).body
    wanted = outcome(iter([body]))
    for how, pieces in variants(body):
        assert outcome(iter(pieces)) == wanted, how


class Oracle:
    """Says by the contract's words whether the events so far are a complete answer."""

    def __init__(self) -> None:
        self.seen: set[int] = set()
        self.ended: set[int] = set()
        self.said = self.done = False

    def see(self, event: Event) -> None:
        if event.data == b"[DONE]":
            self.done = True
            return
        for choice in json.loads(event.data)["choices"]:
            self.seen.add(choice["index"])
            delta = choice["delta"]
            keys = ("content", "reasoning", "reasoning_content", "refusal", "tool_calls")
            self.said = self.said or any(delta.get(key) for key in keys)
            if choice.get("finish_reason"):
                self.ended.add(choice["index"])

    @property
    def complete(self) -> bool:
        return bool(self.seen and self.seen == self.ended) or (self.done and self.said)


def check_cuts(body: bytes, step: int) -> None:
    """Cut the stream after every `step` bytes: it is complete exactly when the oracle says so."""
    framer, decoder, oracle = DIALECT.framer(), DIALECT.decode_stream(), Oracle()
    events: list[Event] = []
    chunk = pb.ChatCompletionChunk()
    for start in range(0, len(body), step):
        try:
            for event in framer.feed(body[start : start + step]):
                events.append(event)
                decoder.decode(event, chunk)
                oracle.see(event)
        except ProviderFault as fault:
            assert fault.kind is FaultKind.REJECTED  # an error event; nothing comes after it
            return
        assert is_complete(decoder) == oracle.complete, start + step
        for event in framer.end():
            check_end([*events, event])
    assert oracle.complete


def check_end(events: list[Event]) -> None:
    """An event whose blank line was cut off counts as one that is there."""
    decoder, oracle, chunk = DIALECT.decode_stream(), Oracle(), pb.ChatCompletionChunk()
    try:
        for event in events:
            decoder.decode(event, chunk)
            oracle.see(event)
    except ProviderFault as fault:
        assert fault.kind is FaultKind.REJECTED
        return
    assert is_complete(decoder) == oracle.complete


@pytest.mark.parametrize("name", STREAMS)
def test_a_recorded_stream_that_is_cut_is_never_taken_for_complete(name: str) -> None:
    check_cuts(recording(name).body, step=101)


@pytest.mark.matrix
@pytest.mark.parametrize("name", STREAMS)
def test_a_recorded_stream_may_be_cut_after_any_byte(name: str) -> None:
    check_cuts(recording(name).body, step=1)
