"""llmbase.v1 chunks -> OpenAI's server-sent events, as bytes for one write per chunk. Pure.

What is the same for all events of a stream is rendered once; a plain delta of text costs one
serialized string.
"""

from __future__ import annotations

from collections.abc import Collection
from typing import Any

import orjson
from llmbase.v1 import chat_completion_pb2 as pb

from gateway.transcoding.answers import FINISH_WORDS, logprobs_to_json, state_to_json, usage_to_json

KEEP_ALIVE = b": keep-alive\n\n"
DONE = b"data: [DONE]\n\n"

_dumps = orjson.dumps
_CONTENT = pb.ChoiceDelta.DESCRIPTOR.fields_by_name["content"]


def error_event(body: bytes) -> bytes:
    """Return the event of an error that came after the first byte; `body` is its envelope."""
    return _without_line_separators(b"data: " + body + b"\n\n")


class StreamRenderer:
    """Renders one stream. `include_usage`: OpenAI's own form, where usage has an event of its own
    and is null in all others; without it, usage is in the last finish event.
    """

    __slots__ = ("_begun", "_close", "_end", "_head", "_include_usage", "_openings", "_text_close")

    def __init__(self, include_usage: bool = False, begun: Collection[int] = ()) -> None:
        """`begun`: choices whose role has been said before, in a stream that this one goes on."""
        self._include_usage = include_usage
        self._begun = begun
        self._head = b""
        self._openings: dict[int, tuple[bytes, bytes]] = {}
        self._end = b',"usage":null}\n\n' if include_usage else b"}\n\n"
        self._close = b',"finish_reason":null}]' + self._end
        self._text_close = b"}" + self._close

    @property
    def begun(self) -> set[int]:
        """The choices whose role has been said."""
        return {*self._begun, *self._openings}

    def render(self, chunk: pb.ChatCompletionChunk) -> bytes:
        """Return the chunk's events, and `[DONE]` after the last chunk's; empty for no event."""
        if not self._head:
            self._head = _head(chunk)
        events: list[bytes] = []
        if chunk.HasField("resumed"):
            self._seam(chunk.resumed, events)
        if chunk.last:
            self._finish(chunk, events)
        else:
            openings = self._openings
            for delta in chunk.choices[:]:  # a slice is the quickest way through
                opening, text_opening = openings.get(delta.index) or self._open(delta.index, events)
                fields = delta.ListFields()
                # In order of their numbers: content comes last only in a delta of text alone.
                if fields and fields[-1][0] is _CONTENT:
                    text = fields[-1][1]
                    events.append(text_opening + _dumps(text) + self._text_close)
                else:
                    self._rich_delta(delta, opening, events)
        out = b"".join(events)
        return out if out.isascii() else _without_line_separators(out)

    def _rich_delta(self, delta: pb.ChoiceDelta, opening: bytes, events: list[bytes]) -> None:
        body = _delta(delta)
        if delta.HasField("logprobs"):
            events += (opening, _dumps(body), b',"logprobs":')
            events += (_dumps(logprobs_to_json(delta.logprobs)), self._close)
        elif body:
            events += (opening, _dumps(body), self._close)

    def _open(self, index: int, events: list[bytes]) -> tuple[bytes, bytes]:
        """Begin a choice: its first event says the role and nothing else."""
        opening = self._head + b'[{"index":%d,"delta":' % index
        self._openings[index] = opening, opening + b'{"content":'
        if index not in self._begun:
            events += (opening, b'{"role":"assistant"}', self._close)
        return self._openings[index]

    def _seam(self, resumed: pb.Resumed, events: list[bytes]) -> None:
        """Say in an event of its own that another target goes on."""
        seam = {
            "reason": resumed.reason.lower(),
            "provider": resumed.provider,
            "characters": resumed.characters,
        }
        events += (self._head, b'[],"llmbase":', _dumps({"resumed": seam}))
        events.append(self._end)

    def _finish(self, chunk: pb.ChatCompletionChunk, events: list[bytes]) -> None:
        usage = _dumps(usage_to_json(chunk.usage))
        for delta in chunk.choices:
            opening, _ = self._openings.get(delta.index) or self._open(delta.index, events)
            word = FINISH_WORDS.get(delta.finish_reason)
            events += (opening, b'{},"finish_reason":', _dumps(word))
            if delta.native_finish_reason and delta.native_finish_reason != word:
                events += (b',"native_finish_reason":', _dumps(delta.native_finish_reason))
            events += (b"}]", self._end)
        if self._include_usage or not chunk.choices:
            events += (self._head, b'[],"usage":', usage, b"}\n\n")
        else:
            events[-1] = b',"usage":' + usage + b"}\n\n"
        events.append(DONE)


def _head(chunk: pb.ChatCompletionChunk) -> bytes:
    """Return what every event of the stream begins with, up to the value of `choices`."""
    head: dict[str, Any] = {
        "id": chunk.id,
        "object": "chat.completion.chunk",
        "created": chunk.created,
        "model": chunk.model,
    }
    if chunk.system_fingerprint:
        head["system_fingerprint"] = chunk.system_fingerprint
    return b"data: " + _dumps(head)[:-1] + b',"choices":'


def _delta(delta: pb.ChoiceDelta) -> dict[str, Any]:
    body: dict[str, Any] = {}
    if delta.HasField("content"):
        body["content"] = delta.content
    if delta.HasField("reasoning_content"):
        body["reasoning_content"] = delta.reasoning_content
    if delta.HasField("refusal"):
        body["refusal"] = delta.refusal
    if delta.tool_calls:
        body["tool_calls"] = [_tool_call(call) for call in delta.tool_calls]
    if delta.provider_state:
        body["provider_state"] = state_to_json(delta.provider_state)
    return body


def _tool_call(call: pb.ToolCallDelta) -> dict[str, Any]:
    """Return a piece of a call; id, type and name are on its first piece only."""
    function: dict[str, Any] = {}
    body: dict[str, Any] = {"index": call.index}
    if call.id:
        body["id"] = call.id
    if call.id or call.name:
        body["type"] = "function"
    if call.name:
        function["name"] = call.name
    function["arguments"] = call.arguments
    body["function"] = function
    if call.provider_state:
        body["provider_state"] = state_to_json(call.provider_state)
    return body


def _without_line_separators(events: bytes) -> bytes:
    """Escape the characters, legal in JSON, at which some clients' line readers would split."""
    return (
        events.replace(b"\xe2\x80\xa8", b"\\u2028")
        .replace(b"\xe2\x80\xa9", b"\\u2029")
        .replace(b"\xc2\x85", b"\\u0085")
    )
