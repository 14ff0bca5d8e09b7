"""A streamed answer of the Messages API: a state machine from event to canonical deltas.

The provider numbers all its blocks; a call's own index counts calls only. What belongs to a block
is kept by the block's number until it ends. Blocks of the provider's own tools are not kept, so
nothing that is said about them reaches the answer.
"""

from __future__ import annotations

from typing import Any

import orjson
from llmbase.v1 import chat_completion_pb2 as pb
from msgspec import Raw, json

from service.errors import FaultKind, ProviderFault
from service.providers.dialects import anthropic_answer as answer
from service.providers.dialects import anthropic_error as error
from service.providers.dialects import anthropic_facts as facts
from service.providers.dialects import anthropic_state as state
from service.providers.dialects import anthropic_wire as wire
from service.providers.dialects.answer_tool import ANSWER_TOOL
from service.providers.dialects.anthropic_blocks import Answer, Call, Thought
from service.providers.dialects.dialect import Event
from service.providers.dialects.openai_wire import RawObject, read
from service.providers.dialects.stream_state import ChoiceState, last_chunk
from service.providers.dialects.unknown import OnUnknown, checked

# The kinds of events and deltas that are looked at; others may look like anything.
_EVENTS = frozenset(
    [
        *("message_start", "message_delta", "message_stop"),
        *("content_block_start", "content_block_delta", "content_block_stop"),
        "error",
    ]
)
_DELTAS = frozenset(["text_delta", "thinking_delta", "signature_delta", "input_json_delta"])
# Documented, and nothing to us.
_PASSED_OVER = frozenset(["ping", "citations_delta", "compaction_delta"])


class AnthropicStreamDecoder:
    """Decodes one stream."""

    characters = None

    def __init__(self, decoder: json.Decoder[wire.StreamEvent], on_unknown: OnUnknown) -> None:
        self._decoder = decoder
        self._on_unknown = on_unknown
        self._choice = ChoiceState()
        self._open: dict[int | None, Call | Answer | Thought] = {}  # by the provider's number
        self._tokens = facts.Tokens()
        self._thoughts: list[bytes] = []
        self._characters = 0  # of the text so far
        self._calls = 0
        self._answered = False  # by a call
        self._done = False

    @property
    def done(self) -> bool:
        """Whether `message_stop` has come."""
        return self._done

    @property
    def finished(self) -> bool:
        """Whether the stop reason is known."""
        return self._choice.reason is not None

    def decode(self, event: Event, chunk: pb.ChatCompletionChunk) -> None:
        """Append the event's deltas to `chunk`.

        Raises ProviderFault: MALFORMED for garbage; REPORTED, STATUS or REJECTED for an error.
        """
        if self._done:
            return
        if event.name == "error":
            raise error.event_fault(event.data)
        try:
            given = self._read(event.data, chunk)
            if given is not None:
                self._take(given, event.name, chunk)
        except (ValueError, RecursionError) as fault:
            raise ProviderFault(FaultKind.MALFORMED, type(fault).__name__) from None

    def finish(self) -> pb.ChatCompletionChunk:
        """Return the last chunk. Raises ProviderFault TRUNCATED when the answer is not complete."""
        last = last_chunk([self._choice], self._tokens.usage())
        return checked(last, facts.knows, self._on_unknown)

    def _read(self, data: bytes, chunk: pb.ChatCompletionChunk) -> wire.StreamEvent | None:
        """Return the event; None for one that is nothing to us. Raises ProviderFault MALFORMED."""
        try:
            return read(self._decoder, data)
        except ProviderFault:
            word = data.strip()
            if word == b"[DONE]":  # some that speak this API end like OpenAI
                self._end(chunk)
            elif word:
                new = _new_word(word)
                if new is None:
                    raise
                self._report(new)
            return None

    def _take(self, given: wire.StreamEvent, name: str, chunk: pb.ChatCompletionChunk) -> None:
        match given.type or name:
            case "content_block_delta":
                if given.delta is not None:
                    self._take_delta(given.delta, given.index, chunk)
            case "content_block_start":
                if bytes(given.content_block) != b"null":
                    self._begin(given.content_block, given.index, chunk)
            case "content_block_stop":
                self._close(given.index, chunk)
            case "message_delta":
                self._tokens.take(given.usage)
                if given.delta is not None and given.delta.stop_reason:
                    self._stop(given.delta, chunk)
            case "message_start":
                if given.message is not None and given.message.usage is not None:
                    given.message.usage.output_tokens = None  # not yet the answer's
                    self._tokens.take(given.message.usage)
            case "message_stop":
                self._end(chunk)
            case "error":
                raise error.fault(given.error, "event")
            case other:
                self._report(other)

    def _report(self, word: str) -> None:
        if word not in _PASSED_OVER:
            self._on_unknown("event", word)

    def _take_delta(
        self, delta: wire.Delta, number: int | None, chunk: pb.ChatCompletionChunk
    ) -> None:
        if delta.type == "text_delta":
            self._text(delta.text or "", chunk)
            return
        if delta.type not in _DELTAS:
            self._report(delta.type or "")
        block = self._open.get(number)
        if isinstance(block, Call):
            if delta.type == "input_json_delta" and delta.partial_json:
                block.written = True
                self._choice.arguments(chunk, block.index, delta.partial_json)
        elif isinstance(block, Answer):
            if delta.type == "input_json_delta" and delta.partial_json:
                block.written = True
                self._text(delta.partial_json, chunk)
        elif isinstance(block, Thought):
            if delta.type == "thinking_delta" and delta.thinking:
                block.texts.append(delta.thinking)
                self._choice.reasoning(chunk, delta.thinking)
            elif delta.type == "signature_delta":
                block.signature = delta.signature

    def _text(self, text: str, chunk: pb.ChatCompletionChunk) -> None:
        self._characters += len(text)
        self._choice.text(chunk, text)

    def _begin(self, raw: Raw, number: int | None, chunk: pb.ChatCompletionChunk) -> None:
        """Begin a block, which may hold something already."""
        self._close(number, chunk)
        match json.decode(raw, type=wire.Kind).type:
            case "text":
                self._text(json.decode(raw, type=wire.Block).text or "", chunk)
            case "tool_use":
                self._begin_call(json.decode(raw, type=wire.Block), number, chunk)
            case "thinking" | "redacted_thinking":
                thought = Thought(self._characters, self._calls, json.decode(raw, type=RawObject))
                self._open[number] = thought
                if text := json.decode(raw, type=wire.Block).thinking:
                    thought.texts.append(text)
                    self._choice.reasoning(chunk, text)
            case other if wire.is_new(other):
                self._on_unknown("enum", other or "")

    def _begin_call(
        self, block: wire.Block, number: int | None, chunk: pb.ChatCompletionChunk
    ) -> None:
        name, given = answer.call_name(block), answer.arguments_text(block.input)
        if name == ANSWER_TOOL:
            self._answered = True
            self._open[number] = Answer(given)
            return
        self._open[number] = Call(self._choice.begin_call(chunk, block.id or "", name), given)
        self._calls += 1

    def _close(self, number: int | None, chunk: pb.ChatCompletionChunk) -> None:
        """End a block, if it is one that is kept."""
        block = self._open.pop(number, None)
        if isinstance(block, Call):
            if not block.written:
                self._choice.arguments(chunk, block.index, block.given)
        elif isinstance(block, Answer):
            if not block.written:
                self._text(block.given, chunk)
        elif block is not None:
            self._thoughts.append(state.line(block.whole()))

    def _stop(self, delta: wire.Delta, chunk: pb.ChatCompletionChunk) -> None:
        native = delta.stop_reason or ""
        self._choice.finish(facts.finish_reason(native, answered=self._answered), native)
        self._choice.refusal(chunk, facts.refusal(delta.stop_details))
        self._settle(chunk)

    def _end(self, chunk: pb.ChatCompletionChunk) -> None:
        self._done = True
        self._settle(chunk)
        if not self.finished and (self._characters or self._calls):
            self._choice.finish(facts.finish_reason("", answered=self._answered), "")

    def _settle(self, chunk: pb.ChatCompletionChunk) -> None:
        """Give what is due now that all blocks are whole: calls' ends and the message's state."""
        for number in list(self._open):
            self._close(number, chunk)
        self._choice.state(chunk, b"".join(self._thoughts))
        self._thoughts.clear()


def _new_word(data: bytes) -> str | None:
    """Return the kind of an event that could not be read; None for one that had to be."""
    try:
        value = orjson.loads(data)
    except orjson.JSONDecodeError:
        return None
    if not isinstance(value, dict):
        return None
    kind, delta = value.get("type"), value.get("delta")
    if kind == "content_block_delta" and isinstance(delta, dict):
        return _new(delta.get("type"), _DELTAS)
    return _new(kind, _EVENTS)


def _new(kind: Any, known: frozenset[str]) -> str | None:
    return kind if isinstance(kind, str) and kind not in known else None
