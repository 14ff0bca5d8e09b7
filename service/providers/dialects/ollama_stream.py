"""A streamed answer of Ollama's: a state machine from line to canonical deltas.

Every line is a piece of the message; tool calls come whole, numbered by Ollama from zero in each
line or not at all. The line that is done ends the stream, with the reason and the counts.
"""

from __future__ import annotations

from collections.abc import Iterable

from llmbase.v1 import chat_completion_pb2 as pb
from msgspec import json

from service.errors import FaultKind, ProviderFault
from service.providers.dialects import ollama_facts as facts
from service.providers.dialects import ollama_wire as wire
from service.providers.dialects import openai_wire
from service.providers.dialects.dialect import Event
from service.providers.dialects.openai_calls import CallIds
from service.providers.dialects.openai_facts import add_logprobs
from service.providers.dialects.stream_state import ChoiceState, last_chunk
from service.providers.dialects.unknown import OnUnknown, checked, event_word


class OllamaStreamDecoder:
    """Decodes one stream."""

    characters = None

    def __init__(self, decoder: json.Decoder[wire.Answer], on_unknown: OnUnknown) -> None:
        self._decoder = decoder
        self._on_unknown = on_unknown
        self._choice = ChoiceState()
        self._ids: CallIds | None = None
        self._usage: pb.Usage | None = None

    @property
    def done(self) -> bool:
        """Whether the line that is done has come."""
        return self._choice.reason is not None

    @property
    def finished(self) -> bool:
        """Whether the reason is known; the counts come with it."""
        return self.done

    def decode(self, event: Event, chunk: pb.ChatCompletionChunk) -> None:
        """Append the line's deltas to `chunk`.

        Raises ProviderFault: MALFORMED for garbage; REPORTED, STATUS or REJECTED for an error line,
        and for a model that was loaded or unloaded instead of answering.
        """
        if self.done:
            return
        given = openai_wire.read(self._decoder, event.data)
        if given.error:
            raise facts.fault(given, "in a stream")
        if given.message is not None:
            try:
                self._take(given.message, given, chunk)
            except (ValueError, RecursionError) as fault:
                raise ProviderFault(FaultKind.MALFORMED, type(fault).__name__) from None
        if given.done:
            native = given.done_reason or ""
            self._choice.finish(facts.finish_reason(native), native)
            self._usage = facts.usage(given)
        elif given.message is None:
            self._on_unknown("event", event_word(event.name, event.data))

    def finish(self) -> pb.ChatCompletionChunk:
        """Return the last chunk. Raises ProviderFault TRUNCATED when the answer is not complete."""
        last = last_chunk([self._choice], self._usage)
        return checked(last, facts.knows, self._on_unknown)

    def _take(
        self, message: wire.Message, given: wire.Answer, chunk: pb.ChatCompletionChunk
    ) -> None:
        if message.thinking:
            self._choice.reasoning(chunk, message.thinking)
        if message.content:
            self._choice.text(chunk, message.content)
            # Log probabilities of a line that thinks as well are not the text's alone.
            if given.logprobs and not message.thinking:
                add_logprobs(openai_wire.Logprobs(content=given.logprobs), chunk.choices[-1])
        if message.tool_calls:
            self._ids = self._ids or CallIds(given.created_at or "")
            self._call(message.tool_calls, self._ids, chunk)

    def _call(
        self, calls: Iterable[openai_wire.ToolCall], ids: CallIds, chunk: pb.ChatCompletionChunk
    ) -> None:
        for call in calls:
            function = call.function
            if function is None or not function.name:
                raise ProviderFault(FaultKind.MALFORMED, "a tool call without a name")
            arguments = openai_wire.arguments_text(function.arguments).strip()
            self._choice.begin_call(chunk, ids.give(call.id), function.name, arguments or "{}")
