"""A streamed answer of Cohere's: a state machine from event to canonical deltas.

Tool calls have their own numbers, from zero. The plan that comes before them is held back, and goes
with the first of them as opaque state. `message-end` ends the stream; a `[DONE]` without it ends it
too, if it came after content.
"""

from __future__ import annotations

from llmbase.v1 import chat_completion_pb2 as pb
from msgspec import json

from service.errors import FaultKind, ProviderFault
from service.providers.dialects import cohere_answer as answer
from service.providers.dialects import cohere_facts as facts
from service.providers.dialects import cohere_state as state
from service.providers.dialects import cohere_wire as wire
from service.providers.dialects import openai_error
from service.providers.dialects.dialect import Event
from service.providers.dialects.openai_calls import CallIds
from service.providers.dialects.openai_wire import read
from service.providers.dialects.stream_state import ChoiceState, last_chunk
from service.providers.dialects.unknown import OnUnknown, checked

_TEXT = ("content-start", "content-delta")
_CALL = ("tool-call-start", "tool-call-delta", "tool-call-end")
_READ = frozenset(["message-start", *_TEXT, "tool-plan-delta", *_CALL, "message-end"])
# Documented, and nothing to us.
_PASSED_OVER = frozenset(["content-end", "citation-start", "citation-end", "debug"])


class CohereStreamDecoder:
    """Decodes one stream."""

    characters = None

    def __init__(self, decoder: json.Decoder[wire.StreamEvent], on_unknown: OnUnknown) -> None:
        self._decoder = decoder
        self._on_unknown = on_unknown
        self._choice = ChoiceState()
        self._said = False  # whether any content has come
        self._id = ""
        self._ids: CallIds | None = None
        self._plan: list[str] = []
        self._open: dict[int | None, int] = {}  # our indexes of the calls that go on, by theirs
        self._usage: pb.Usage | None = None

    @property
    def done(self) -> bool:
        """Whether the stream's end has come."""
        return self._choice.reason is not None

    @property
    def finished(self) -> bool:
        """Whether the reason is known; the usage comes with it."""
        return self.done

    def decode(self, event: Event, chunk: pb.ChatCompletionChunk) -> None:
        """Append the event's deltas to `chunk`; an event that is not known appends none.

        Raises ProviderFault: MALFORMED for garbage; REPORTED, STATUS or REJECTED for an error.
        """
        if self.done:
            return
        before = len(chunk.choices)
        try:
            given = self._decoder.decode(event.data)
        except (ValueError, RecursionError):
            self._take_other(event, chunk)
            return
        kind = given.type or event.name
        try:
            if kind in _TEXT:
                self._take_content(given, chunk)
            else:
                self._take(kind, given, event.data, chunk)
        except ValueError as fault:
            raise ProviderFault(FaultKind.MALFORMED, type(fault).__name__) from None
        self._said = self._said or len(chunk.choices) > before

    def finish(self) -> pb.ChatCompletionChunk:
        """Return the last chunk. Raises ProviderFault TRUNCATED when the answer is not complete."""
        last = last_chunk([self._choice], self._usage)
        return checked(last, facts.knows, self._on_unknown)

    def _take_content(self, given: wire.StreamEvent, chunk: pb.ChatCompletionChunk) -> None:
        message = given.delta.message if given.delta else None
        content = message.content if message else None
        if not isinstance(content, wire.Content):
            return
        if content.thinking:
            self._choice.reasoning(chunk, content.thinking)
        if content.text:
            self._choice.text(chunk, content.text)
            if given.logprobs is not None:
                facts.add_logprobs([given.logprobs], chunk.choices[-1])

    def _take(
        self, kind: str, given: wire.StreamEvent, data: bytes, chunk: pb.ChatCompletionChunk
    ) -> None:
        delta = given.delta or wire.Delta()
        message = delta.message or wire.Message()
        match kind:
            case "message-start":
                self._id = given.id or ""
            case "tool-plan-delta":
                self._plan.append(message.tool_plan or "")
            case "tool-call-start":
                self._begin_call(given.index, message, chunk)
            case "tool-call-delta":
                for call in answer.calls(message):
                    at = self._open_call(given.index)
                    self._choice.arguments(chunk, at, answer.arguments(call))
            case "tool-call-end":
                self._choice.end_call(chunk, self._open_call(given.index))
                del self._open[given.index]
            case "message-end":
                self._end(delta, chunk)
            case _ if kind == "error" or (not given.type and given.message):
                raise openai_error.event_fault(data)
            case _:
                self._report(kind)

    def _report(self, kind: str) -> None:
        if kind not in _PASSED_OVER:
            self._on_unknown("event", kind)

    def _begin_call(
        self, index: int | None, message: wire.Message, chunk: pb.ChatCompletionChunk
    ) -> None:
        self._choice.state(chunk, state.of_plan("".join(self._plan)))
        self._plan.clear()
        self._ids = self._ids or CallIds(self._id)
        for call in answer.calls(message):
            self._open[index] = self._choice.begin_call(
                chunk, self._ids.give(call.id), answer.call_name(call), answer.arguments(call)
            )

    def _open_call(self, index: int | None) -> int:
        if index not in self._open:
            raise ProviderFault(FaultKind.MALFORMED, "a piece of no tool call")
        return self._open[index]

    def _end(self, delta: wire.Delta, chunk: pb.ChatCompletionChunk) -> None:
        native = delta.finish_reason or ""
        reason = facts.finish_reason(native, delta.error or "")
        for call in self._open.values():
            self._choice.end_call(chunk, call)
        self._usage = facts.usage(delta.usage)
        self._choice.finish(reason, native)

    def _take_other(self, event: Event, chunk: pb.ChatCompletionChunk) -> None:
        """Take an event that does not have the shape of those that are read."""
        if event.name == "error":
            raise openai_error.event_fault(event.data)
        word = event.data.strip()
        if word == b"[DONE]":
            if self._said:
                self._end(wire.Delta(), chunk)
        elif word:
            kind = read(json.Decoder(wire.Kind), word).type or event.name
            if kind in _READ or not kind:
                read(self._decoder, word)  # raises, and says why
            self._report(kind)
