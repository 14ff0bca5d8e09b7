"""A stream of ConverseStream as canonical deltas.

Blocks are numbered, calls and reasoning among them; a block ends by its own event. The terminal
event is `messageStop`; usage comes after it, in `metadata`, which is the last event of all.
"""

from __future__ import annotations

import base64
from typing import Protocol

from llmbase.v1 import chat_completion_pb2 as pb
from msgspec import json

from service.errors import FaultKind, ProviderFault
from service.providers.dialects import bedrock_error as error
from service.providers.dialects import bedrock_facts as facts
from service.providers.dialects import bedrock_state as state
from service.providers.dialects import bedrock_wire as wire
from service.providers.dialects.answer_tool import ANSWER_TOOL
from service.providers.dialects.dialect import Event
from service.providers.dialects.openai_wire import read
from service.providers.dialects.stream_state import ChoiceState, last_chunk
from service.providers.dialects.unknown import OnUnknown, checked

# Documented, and nothing to us: the role, and what the protocol itself begins with.
_PASSED_OVER = frozenset(["messageStart", "initial-response"])


class _Block(Protocol):
    """A block that has begun and not ended."""

    def add(self, delta: wire.Delta, chunk: pb.ChatCompletionChunk) -> None: ...
    def end(self, chunk: pb.ChatCompletionChunk) -> None: ...


class _Call:
    """A call that is the caller's to make."""

    def __init__(
        self, choice: ChoiceState, begun: wire.ToolUse, chunk: pb.ChatCompletionChunk
    ) -> None:
        self._choice = choice
        self._call = choice.begin_call(chunk, begun.tool_use_id or "", begun.name or "")

    def add(self, delta: wire.Delta, chunk: pb.ChatCompletionChunk) -> None:
        if delta.tool_use:
            self._choice.arguments(chunk, self._call, delta.tool_use.input or "")

    def end(self, chunk: pb.ChatCompletionChunk) -> None:
        self._choice.end_call(chunk, self._call)


class _Answer:
    """A call by which the model gives its answer: its input is the text."""

    def __init__(self, choice: ChoiceState) -> None:
        self._choice = choice
        self._empty = True

    def add(self, delta: wire.Delta, chunk: pb.ChatCompletionChunk) -> None:
        if delta.tool_use and delta.tool_use.input:
            self._empty = False
            self._choice.text(chunk, delta.tool_use.input)

    def end(self, chunk: pb.ChatCompletionChunk) -> None:
        if self._empty:
            self._choice.text(chunk, "{}")


class _Elsewhere:
    """A call that the provider makes and answers by itself."""

    def add(self, delta: wire.Delta, chunk: pb.ChatCompletionChunk) -> None:
        pass

    def end(self, chunk: pb.ChatCompletionChunk) -> None:
        pass


class _Thought:
    """Reasoning: told as it comes, and kept for its signature, which comes last."""

    def __init__(self, choice: ChoiceState) -> None:
        self._choice = choice
        self._texts: list[str] = []
        self._signature = ""
        self._redacted = b""

    def add(self, delta: wire.Delta, chunk: pb.ChatCompletionChunk) -> None:
        piece = delta.reasoning_content
        if piece is None:
            return
        if piece.text:
            self._texts.append(piece.text)
            self._choice.reasoning(chunk, piece.text)
        self._signature += piece.signature or ""
        if piece.redacted_content:
            self._redacted += _bytes(piece.redacted_content)

    def end(self, chunk: pb.ChatCompletionChunk) -> None:
        clear = wire.ReasoningText("".join(self._texts), self._signature)
        redacted = base64.b64encode(self._redacted).decode()
        self._choice.state(chunk, state.of_blocks([wire.Reasoning(clear, redacted)]))


class BedrockStreamDecoder:
    """Decodes one stream."""

    characters = None

    def __init__(self, decoder: json.Decoder[wire.StreamEvent], on_unknown: OnUnknown) -> None:
        self._decoder = decoder
        self._on_unknown = on_unknown
        self._choice = ChoiceState()
        self._blocks: dict[int, _Block] = {}  # calls and reasoning that have not ended
        self._usage: pb.Usage | None = None
        self._told = False  # whether `metadata` has come

    @property
    def done(self) -> bool:
        """Whether `messageStop` and `metadata` have come."""
        return self._told and self.finished

    @property
    def finished(self) -> bool:
        """Whether `messageStop` has come."""
        return self._choice.reason is not None

    def decode(self, event: Event, chunk: pb.ChatCompletionChunk) -> None:
        """Append the event's deltas to `chunk`.

        Raises ProviderFault: MALFORMED for garbage; REPORTED, STATUS or REJECTED for an error.
        """
        if self.done:
            return
        match event.name:
            case "contentBlockDelta":
                self._add(self._read(event), chunk)
            case "contentBlockStart":
                self._begin(self._read(event), chunk)
            case "contentBlockStop":
                self._end(self._read(event), chunk)
            case "messageStop":
                self._stop(self._read(event), chunk)
            case "metadata":
                self._usage = facts.usage(self._read(event).usage)
                self._told = True
            case _ if error.is_error(event):
                raise error.fault(event)
            case other if other not in _PASSED_OVER:
                self._on_unknown("event", other)

    def finish(self) -> pb.ChatCompletionChunk:
        """Return the last chunk. Raises ProviderFault TRUNCATED when `messageStop` is missing."""
        last = last_chunk([self._choice], self._usage)
        return checked(last, facts.knows, self._on_unknown)

    def _read(self, event: Event) -> wire.StreamEvent:
        return read(self._decoder, event.data)

    def _add(self, given: wire.StreamEvent, chunk: pb.ChatCompletionChunk) -> None:
        delta = given.delta
        if delta is None:
            return
        if delta.text:
            self._check_open()
            self._choice.text(chunk, delta.text)
        elif delta.tool_use or delta.reasoning_content:
            block = self._blocks.get(_index(given))
            if block is None:
                block = self._begin_block(_index(given), delta)
            block.add(delta, chunk)

    def _begin(self, given: wire.StreamEvent, chunk: pb.ChatCompletionChunk) -> None:
        begun = given.start.tool_use if given.start else None
        if begun is None:
            return
        if not begun.name:
            raise ProviderFault(FaultKind.MALFORMED, "a tool call without a name")
        self._check_open()
        self._end(given, chunk)  # no two blocks have the same index at a time
        block: _Block
        if begun.type == wire.SERVER_TOOL:
            block = _Elsewhere()
        elif begun.name == ANSWER_TOOL:
            block = _Answer(self._choice)
        else:
            block = _Call(self._choice, begun, chunk)
        self._blocks[_index(given)] = block

    def _begin_block(self, index: int, delta: wire.Delta) -> _Block:
        """Begin a block that has no event for its beginning: reasoning has none."""
        self._check_open()
        if not delta.reasoning_content:
            raise ProviderFault(FaultKind.MALFORMED, "a piece of a tool call that never began")
        block = self._blocks[index] = _Thought(self._choice)
        return block

    def _end(self, given: wire.StreamEvent, chunk: pb.ChatCompletionChunk) -> None:
        block = self._blocks.pop(_index(given), None)
        if block is not None:
            block.end(chunk)

    def _stop(self, given: wire.StreamEvent, chunk: pb.ChatCompletionChunk) -> None:
        native = given.stop_reason or ""
        reason = facts.finish_reason(native)
        for block in self._blocks.values():  # those whose own end was not sent
            block.end(chunk)
        self._blocks.clear()
        self._choice.finish(reason, native)

    def _check_open(self) -> None:
        if self.finished:
            raise ProviderFault(FaultKind.MALFORMED, "content after the stop reason")


def _index(given: wire.StreamEvent) -> int:
    if given.content_block_index is None:
        raise ProviderFault(FaultKind.MALFORMED, "an event of a block without its index")
    return given.content_block_index


def _bytes(text: str) -> bytes:
    try:
        return base64.b64decode(text, validate=True)
    except ValueError:
        raise ProviderFault(FaultKind.MALFORMED, "redacted reasoning is not base64") from None
