"""Wherever a stream is cut before its finish reason, the dialect takes it for a cut."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import pytest
from llmbase.v1 import chat_completion_pb2 as pb

from service.config import ProviderConfig
from service.errors import FaultKind, ProviderFault
from service.providers.dialects import DIALECTS
from tests.support import event_frames

HERE = Path(__file__).parent


def _golden(path: str) -> Callable[[], bytes]:
    return (HERE / path).read_bytes


def _bedrock() -> bytes:
    def delta(index: int, **what: object) -> bytes:
        payload = {"contentBlockIndex": index, "delta": what}
        return event_frames.event("contentBlockDelta", payload)

    def stop(index: int) -> bytes:
        return event_frames.event("contentBlockStop", {"contentBlockIndex": index})

    begun = {"toolUse": {"toolUseId": "t1", "name": "weigh"}}
    return b"".join(
        [
            event_frames.event("messageStart", {"role": "assistant"}),
            delta(0, reasoningContent={"text": "Frost "}),
            delta(0, reasoningContent={"text": "is near."}),
            stop(0),
            delta(1, text="Pick "),
            delta(1, text="the pears."),
            stop(1),
            event_frames.event("contentBlockStart", {"contentBlockIndex": 2, "start": begun}),
            delta(2, toolUse={"input": '{"fruit":'}),
            delta(2, toolUse={"input": '"pear"}'}),
            stop(2),
            event_frames.event("messageStop", {"stopReason": "tool_use"}),
            event_frames.event("metadata", {"usage": {"inputTokens": 9, "outputTokens": 7}}),
        ]
    )


@dataclass(frozen=True)
class Stream:
    """A whole stream, and the bytes in it that say it is over."""

    dialect: str
    read: Callable[[], bytes]
    end: bytes


STREAMS = [
    Stream("openai", _golden("openai/calls_in_a_stream/answer.sse"), b'"finish_reason":"'),
    Stream(
        "anthropic",
        _golden("anthropic/thinking_text_and_calls_in_a_stream/answer.sse"),
        b'"stop_reason":"tool_use"',
    ),
    Stream("gemini", _golden("gemini/calls_in_a_stream/answer.sse"), b'"finishReason": "STOP"'),
    Stream("bedrock", _bedrock, b'"stopReason": "tool_use"'),
    Stream("cohere", _golden("cohere/every_field/answer.sse"), b'"finish_reason":"STOP_SEQUENCE"'),
    Stream("cohere", _golden("cohere/calls_in_a_stream/answer.sse"), b'"finish_reason":"TOOL'),
    Stream("ollama", _golden("ollama/every_field/answer.ndjson"), b'"done":true'),
]


@pytest.mark.parametrize("stream", STREAMS, ids=lambda stream: stream.dialect)
def test_a_stream_is_not_complete_before_its_finish_reason(stream: Stream) -> None:
    body = stream.read()
    assert body.count(stream.end) == 1
    over_at = body.index(stream.end) + len(stream.end)
    whole = _said(stream.dialect, body)
    assert whole.complete

    for length in range(over_at + 1):
        cut = _said(stream.dialect, body[:length])
        assert not (cut.finished or cut.done or cut.complete), body[:length]
        # Only a cut inside an event may look like garbage.
        assert cut.fault in (FaultKind.TRUNCATED, FaultKind.MALFORMED)
        assert whole.deltas[: len(cut.deltas)] == cut.deltas


@dataclass
class _Said:
    deltas: list[pb.ChoiceDelta]
    finished: bool = False
    done: bool = False
    complete: bool = False
    fault: FaultKind | None = None


def _said(dialect: str, body: bytes) -> _Said:
    """What a dialect makes of a body that ends there."""
    config = ProviderConfig(dialect=dialect, base_url="https://provider.example/v1")
    built = DIALECTS[dialect].build(config)
    framer, decoder = built.framer(), built.decode_stream()
    chunk, said = pb.ChatCompletionChunk(), _Said([])
    try:
        for event in [*framer.feed(body), *framer.end()]:
            decoder.decode(event, chunk)
        said.complete = decoder.finish().last
    except ProviderFault as fault:
        said.fault = fault.kind
    said.deltas = list(chunk.choices)
    said.finished, said.done = decoder.finished, decoder.done
    return said
