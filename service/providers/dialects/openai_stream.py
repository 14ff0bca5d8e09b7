"""A streamed answer of OpenAI's chat completions: a state machine from chunk to canonical deltas.

Roles, repeated names and empty pieces are dropped. Finish words and usage are kept until
`finish`: they may come early, late, twice or in every chunk. The stream is complete when every
choice has its finish word, or when `[DONE]` came after content.
"""

from __future__ import annotations

from llmbase.v1 import chat_completion_pb2 as pb
from msgspec import json

from service.errors import FaultKind, ProviderFault
from service.providers.dialects import openai_error as error
from service.providers.dialects import openai_facts as facts
from service.providers.dialects import openai_wire as wire
from service.providers.dialects.dialect import Event
from service.providers.dialects.openai_choice import ChoiceInPieces
from service.providers.dialects.unknown import OnUnknown, checked, event_word
from service.providers.estimate import delta_characters

_CHUNK = "chat.completion.chunk"  # what a chunk calls itself, be it without choices


class OpenAiStreamDecoder:
    """Decodes one stream. `choices` is how many were asked for."""

    def __init__(
        self, decoder: json.Decoder[wire.Answer], on_unknown: OnUnknown, choices: int = 1
    ) -> None:
        self._decoder = decoder
        self._on_unknown = on_unknown
        self._asked = choices
        self._choices: dict[int, ChoiceInPieces] = {}
        self._id = ""
        self._fingerprint = ""
        self._usage: pb.Usage | None = None
        self._said = False  # whether any content has come
        self._characters = 0
        self._done = False

    @property
    def done(self) -> bool:
        """Whether `[DONE]` has come."""
        return self._done

    @property
    def finished(self) -> bool:
        """Whether every choice has its finish word."""
        choices = self._choices.values()
        return len(choices) >= self._asked and all(choice.ended for choice in choices)

    @property
    def characters(self) -> int:
        """How much text the deltas had so far: to count it afterwards takes a tenth of the way."""
        return self._characters

    def decode(self, event: Event, chunk: pb.ChatCompletionChunk) -> None:
        """Append the event's deltas to `chunk`, one for each choice that it brings anything for.

        Raises ProviderFault: MALFORMED for garbage; REPORTED, STATUS or REJECTED for an error.
        """
        if self._done:
            return
        name, data = event
        if name == "error":
            raise error.event_fault(data)
        try:
            try:
                given = self._decoder.decode(data)
            except (ValueError, RecursionError):
                self._take_other(data, chunk)
            else:
                self._take(given, event, chunk)
        except (ValueError, RecursionError) as fault:
            raise ProviderFault(FaultKind.MALFORMED, type(fault).__name__) from None

    def finish(self) -> pb.ChatCompletionChunk:
        """Return the last chunk. Raises ProviderFault TRUNCATED when the answer is not complete."""
        complete = self.finished or (self._done and (self._said or self._all_ended()))
        if not complete:
            raise ProviderFault(FaultKind.TRUNCATED, "the stream ended before its answer")
        last = pb.ChatCompletionChunk(
            last=True, usage=self._usage, system_fingerprint=self._fingerprint
        )
        for index in sorted(self._choices):
            choice = self._choices[index]
            last.choices.add(
                index=index,
                finish_reason=facts.finish_reason(choice.native, choice.calls is not None),
                native_finish_reason=choice.native,
            )
        return checked(last, facts.knows, self._on_unknown)

    def _all_ended(self) -> bool:
        return bool(self._choices) and all(choice.ended for choice in self._choices.values())

    def _take_other(self, data: bytes, chunk: pb.ChatCompletionChunk) -> None:
        """Take an event that is not a chunk: the end, or an empty one that keeps alive."""
        word = data.strip()
        if word == b"[DONE]":
            self._done = True
            for choice in self._choices.values():
                if choice.end(chunk):
                    self._characters += delta_characters(chunk.choices[-1])
        elif word:
            wire.read(self._decoder, data)  # raises, and says why

    def _take_usage(self, given: wire.Answer) -> None:
        usage = pb.Usage()
        if facts.take_usage(given.usage, usage) or (
            given.x_groq and facts.take_usage(given.x_groq.usage, usage)
        ):
            self._usage = usage

    def _take(self, given: wire.Answer, event: Event, chunk: pb.ChatCompletionChunk) -> None:
        if given.error:
            raise error.fault(given.error, "in a stream")
        if given.usage is not None or given.x_groq is not None:
            self._take_usage(given)
        if given.choices is None:
            self._take_no_chunk(given, event)
        self._id = self._id or given.id or ""
        added = False
        for choice in given.choices or ():
            added = self._take_choice(choice, chunk) or added
        if given.system_fingerprint:
            self._fingerprint = given.system_fingerprint
        if added and self._fingerprint:
            chunk.system_fingerprint = self._fingerprint

    def _take_no_chunk(self, given: wire.Answer, event: Event) -> None:
        """Take an object without choices: usage, an error, or what nobody knows."""
        if bare := error.bare_fault(event.data, "in a stream"):
            raise bare
        if given.usage is None and given.x_groq is None:
            word = event_word(event.name, event.data)
            if word != _CHUNK:
                self._on_unknown("event", word)

    def _take_choice(self, given: wire.Choice, chunk: pb.ChatCompletionChunk) -> bool:
        """Append one choice's delta, if it brings anything, and say whether it does."""
        index = given.index or 0
        choice = self._choices.get(index)
        if choice is None:
            choice = self._choices[index] = ChoiceInPieces(index, self._id)
        delta = given.delta
        if (
            delta is None
            or isinstance(text := delta.content, list)
            # More than a piece of text or reasoning; written out, for it is asked of every chunk.
            or given.finish_reason is not None
            or given.logprobs is not None
            or given.error is not None
            or delta.tool_calls is not None
            or delta.refusal is not None
            or delta.function_call is not None
            or delta.reasoning_details is not None
            or delta.reasoning_opaque is not None
            or delta.extra_content is not None
        ):
            added, said = choice.take(given, delta or wire.Message(), chunk)
            self._said = self._said or said
            if added:
                self._characters += delta_characters(chunk.choices[-1])
            return added
        # The usual chunk brings a piece of text, or of reasoning, and goes the short way.
        thought = (
            delta.reasoning_content or delta.reasoning or delta.reasoning_text or delta.thinking
        )
        if not (text or thought):
            return False
        self._said = True
        out = chunk.choices.add()
        if index:
            out.index = index
        if text:
            out.content = text
            self._characters += len(text)
        if thought:
            out.reasoning_content = thought
            self._characters += len(thought)
        return True
