"""A streamed answer of Gemini: a state machine from response message to canonical deltas.

There is no sentinel: the answer is complete when every candidate has its finish reason, or when the
prompt was blocked. Usage is cumulative and may still come after that, so the bytes are read to
their end.
"""

from __future__ import annotations

from llmbase.v1 import chat_completion_pb2 as pb
from msgspec import json

from service.errors import FaultKind, ProviderFault
from service.providers.dialects import gemini_error as error
from service.providers.dialects import gemini_wire as wire
from service.providers.dialects import gemini_words as words
from service.providers.dialects.dialect import Event
from service.providers.dialects.gemini_candidate import Candidate
from service.providers.dialects.openai_wire import RawObject, read
from service.providers.dialects.stream_state import last_chunk
from service.providers.dialects.token_classes import TokenClasses
from service.providers.dialects.unknown import OnUnknown, checked

_MOST_TOLD = 2000  # characters
_FIELDS = frozenset(
    [
        *("candidates", "promptFeedback", "usageMetadata", "error"),
        *("responseId", "modelVersion", "createTime", "modelStatus"),
    ]
)
_FOREIGN = (b"", b"[DONE]")  # no words of Gemini's, but of some that pass its streams on


class GeminiStreamDecoder:
    """Decodes one stream, of Vertex AI or not. `choices` is how many were asked for."""

    characters = None

    def __init__(
        self,
        decoder: json.Decoder[wire.Response],
        on_unknown: OnUnknown,
        *,
        vertex: bool,
        choices: int = 1,
    ) -> None:
        self._decoder = decoder
        self._on_unknown = on_unknown
        self._vertex = vertex
        self._asked = choices
        self._candidates: dict[int, Candidate] = {}
        self._id = ""
        self._usage = wire.UsageMetadata()
        self._blocked = False

    @property
    def done(self) -> bool:
        """Never: only the end of the bytes says that nothing follows."""
        return False

    @property
    def finished(self) -> bool:
        """Whether every candidate has its finish reason, or the prompt was blocked."""
        candidates = self._candidates.values()
        enough = len(candidates) >= self._asked or self._blocked
        return enough and all(candidate.ended for candidate in candidates)

    def decode(self, event: Event, chunk: pb.ChatCompletionChunk) -> None:
        """Append the deltas of all candidates in the event to `chunk`.

        Raises ProviderFault: MALFORMED for garbage; STATUS, REJECTED or REPORTED for an error, the
        last also for a finish reason that says the answer was broken off.
        """
        if event.data.startswith(b"{") or event.data.strip() not in _FOREIGN:
            self.read(event.data, chunk)

    def read(self, data: bytes, chunk: pb.ChatCompletionChunk) -> None:
        """Append the deltas of one response, whole or a piece of a stream, as `decode` does."""
        given = read(self._decoder, data)
        if given.error:
            raise error.fault(given.error, "in an answer")
        try:
            self._take(given, chunk)
            if given.candidates is None and given.usage_metadata is None:
                self._report(data)
        except (ValueError, RecursionError) as fault:  # a name that is skipped may be no UTF-8, too
            raise ProviderFault(FaultKind.MALFORMED, type(fault).__name__) from None

    def finish(self) -> pb.ChatCompletionChunk:
        """Return the last chunk. Raises ProviderFault TRUNCATED when the answer is not complete."""
        if self._candidates and not self.finished:
            raise ProviderFault(FaultKind.TRUNCATED, "the stream ended before its finish reason")
        states = [self._candidates[index].state for index in sorted(self._candidates)]
        last = last_chunk(states, self._told_usage())
        return checked(last, words.knows, self._on_unknown)

    def excuse_finish(self) -> None:
        """Let what has no finish reason be a stop: a whole answer cannot have been cut."""
        for candidate in self._candidates.values():
            if not candidate.ended:
                candidate.state.finish(pb.FINISH_REASON_STOP, "")

    def _report(self, data: bytes) -> None:
        """Report a response without any field that is documented: the nearest to a new event."""
        keys = json.decode(data, type=RawObject)
        if not _FIELDS & keys.keys():
            self._on_unknown("event", next(iter(keys), ""))

    def _take(self, given: wire.Response, chunk: pb.ChatCompletionChunk) -> None:
        self._id = self._id or given.response_id or ""
        if given.usage_metadata is not None:
            self._take_usage(given.usage_metadata)
        if given.candidates:
            for position, candidate in enumerate(given.candidates):
                self._take_candidate(position, candidate, chunk)
        elif given.prompt_feedback is not None and not self._candidates:
            self._take_block(given.prompt_feedback)

    def _take_candidate(
        self, position: int, given: wire.Candidate, chunk: pb.ChatCompletionChunk
    ) -> None:
        word = words.finish_word(given.finish_reason, vertex=self._vertex)
        if word in words.BROKEN_OFF:
            told = (given.finish_message or "")[:_MOST_TOLD]
            raise ProviderFault(FaultKind.REPORTED, f"finish reason {word}", told=told)
        candidate = self._candidate(position if given.index is None else given.index)
        candidate.take(given, chunk)
        if word:
            # A word that nobody knows yet is a stop, and travels beside it.
            candidate.state.finish(words.REASONS.get(word, pb.FINISH_REASON_STOP), word)

    def _take_block(self, given: wire.PromptFeedback) -> None:
        """A blocked prompt has no candidates: its answer is an empty one that was filtered."""
        if word := words.block_word(given.block_reason, vertex=self._vertex):
            self._blocked = True
            self._candidate(0).state.finish(pb.FINISH_REASON_CONTENT_FILTER, word)

    def _take_usage(self, given: wire.UsageMetadata) -> None:
        """Keep the latest of each count: they only grow, and one that is left out has not."""
        for name in given.__struct_fields__:
            if (count := getattr(given, name)) is not None:
                setattr(self._usage, name, count)

    def _candidate(self, index: int) -> Candidate:
        found = self._candidates.get(index)
        if found is None:
            found = self._candidates[index] = Candidate(index, self._id)
        return found

    def _told_usage(self) -> pb.Usage | None:
        told = self._usage
        if told == wire.UsageMetadata():
            return None
        prompt = (told.prompt_token_count or 0) + (told.tool_use_prompt_token_count or 0)
        cached = told.cached_content_token_count or 0
        return TokenClasses(
            input_uncached=prompt - cached,
            cache_read=cached,
            output_text=told.candidates_token_count or 0,
            reasoning=told.thoughts_token_count or 0,
        ).to_usage()
