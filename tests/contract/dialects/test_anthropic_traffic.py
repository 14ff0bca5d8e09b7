"""Recorded answers of the Messages API, read as an independent reader read them."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from llmbase.v1 import chat_completion_pb2 as pb

from conformance.reviewed import REVIEWED
from service.errors import FaultKind, ProviderFault
from service.providers.dialects.anthropic import AnthropicDialect
from tests.support.shared import require_shared, shared_json, shared_names
from tests.unit.service.providers.dialects.reading import (
    Said,
    fold,
    is_complete,
    read_stream,
    whole,
)

DIALECT = AnthropicDialect()
WHERE = ("traffic", "anthropic")
STREAMS = shared_names(*WHERE, pattern="*/response.sse")
WHOLE = shared_names(*WHERE, pattern="unary_*/response.json")
THINKING = [path for path in STREAMS + WHOLE if "tool-call_reasoning" in path] or [""]


def expected(path: str) -> dict[str, Any]:
    case = path.split("/")[0]
    expect: dict[str, Any] = shared_json(*WHERE, case, "meta.json")["expect"]
    if (other := REVIEWED.get(f"anthropic/{case}")) is not None:
        expect["refused"] = other.refused
        if other.error is False:
            expect["errors"] = []
    return expect


def body(path: str) -> bytes:
    return require_shared(*WHERE, path).read_bytes()


def check(said: Said, usage: pb.Usage, expect: dict[str, Any]) -> None:
    assert said.text == expect["text"]
    assert said.reasoning == expect["reasoning"]
    assert bool(said.refusal) == expect.get("refused", False)
    calls = [(call.id, call.name, json.loads(call.arguments)) for call in said.calls]
    assert calls == [(c["id"], c["name"], json.loads(c["arguments"])) for c in expect["tool_calls"]]
    assert said.native == expect["finish_native"][0]
    assert said.finish == expect["finish_openai"]
    told = expect["usage"]
    assert (usage.prompt_tokens, usage.completion_tokens) == (told["prompt"], told["completion"])
    assert usage.total_tokens == told["prompt"] + told["completion"]
    assert (usage.cached_tokens, usage.cache_write_tokens) == (told["cached"], told["cache_write"])


@pytest.mark.parametrize("path", STREAMS)
def test_a_recorded_stream_says_what_is_expected_also_byte_by_byte(path: str) -> None:
    data = body(path)
    chunk, last = read_stream(DIALECT, [data])
    assert read_stream(DIALECT, (data[i : i + 1] for i in range(len(data)))) == (chunk, last)
    (said,) = fold(chunk, last).values()
    expect = expected(path)
    assert not expect.get("errors")
    check(said, last.usage, expect)
    assert [call.arguments for call in said.calls] == [c["arguments"] for c in expect["tool_calls"]]


@pytest.mark.parametrize("path", STREAMS)
def test_a_recorded_stream_cut_before_its_stop_reason_is_no_answer(path: str) -> None:
    events = DIALECT.framer().feed(body(path))
    ends = next(i for i, event in enumerate(events) if event.name == "message_delta")
    for cut in range(len(events) + 1):
        decoder = DIALECT.decode_stream()
        for event in events[:cut]:
            decoder.decode(event, pb.ChatCompletionChunk())
        assert is_complete(decoder) == decoder.finished == (cut > ends)


@pytest.mark.parametrize("path", WHOLE)
def test_a_recorded_whole_answer_says_what_is_expected(path: str) -> None:
    expect = expected(path)
    if expect.get("errors"):
        assert DIALECT.decode_error(400, body(path)) == expect["errors"][0]["message"]
        with pytest.raises(ProviderFault) as caught:
            DIALECT.decode(body(path))
        assert caught.value.kind in (FaultKind.STATUS, FaultKind.REJECTED)
        return
    completion = DIALECT.decode(body(path))
    (said,) = whole(completion).values()
    check(said, completion.usage, expect)


def recorded_thought(path: str) -> tuple[pb.Message, dict[str, Any]]:
    """A recorded message that thinks and calls, and its thinking block put together by hand."""
    data = body(path)
    if path.endswith(".json"):
        return DIALECT.decode(data).choices[0].message, json.loads(data)["content"][0]
    chunk, _ = read_stream(DIALECT, [data])
    message = pb.Message(role=pb.ROLE_ASSISTANT)
    for delta in chunk.choices:
        message.provider_state += delta.provider_state
        for piece in delta.tool_calls:
            message.tool_calls.extend([pb.ToolCall()] * (piece.index + 1 - len(message.tool_calls)))
            message.tool_calls[piece.index].id += piece.id
            message.tool_calls[piece.index].name += piece.name
            message.tool_calls[piece.index].arguments += piece.arguments
    deltas = [json.loads(event.data).get("delta", {}) for event in DIALECT.framer().feed(data)]
    block = {key: "".join(d.get(key, "") for d in deltas) for key in ("thinking", "signature")}
    return message, {"type": "thinking", **block}


@pytest.mark.parametrize("path", THINKING)
def test_recorded_thinking_goes_back_unchanged_before_its_call(path: str) -> None:
    message, thought = recorded_thought(path)
    assert thought["thinking"] and thought["signature"]
    request = pb.ChatCompletionRequest(messages=[message])
    request.messages.add(role=pb.ROLE_TOOL, tool_call_id=message.tool_calls[0].id)
    sent = json.loads(DIALECT.encode(request, "claude-sonnet-4-5", stream=False).body)
    first, second = sent["messages"][0]["content"]
    assert first == thought
    assert (second["type"], second["id"]) == ("tool_use", message.tool_calls[0].id)


def test_every_kind_of_recording_is_there() -> None:
    root: Path = require_shared(*WHERE)
    assert len(STREAMS) >= 13 and len(WHOLE) >= 16, root
