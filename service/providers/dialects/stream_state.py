"""What a stream has said so far: the half of a stream decoder that is the same for all dialects
but OpenAI's. A dialect maps its events to these calls, and knows nothing of chunks.

The rules are the contract's: own indices for tool calls, `{}` for empty arguments, finish reasons
and usage held back for the last chunk, a call overrides `stop` and only that.
"""

from __future__ import annotations

from llmbase.v1.chat_completion_pb2 import (
    FINISH_REASON_STOP,
    FINISH_REASON_TOOL_CALLS,
    ChatCompletionChunk,
    ChoiceDelta,
    FinishReason,
    Usage,
)

from service.errors import FaultKind, ProviderFault


class ChoiceState:
    """One choice of a stream. Every method appends at most one delta to the chunk it is given."""

    def __init__(self, index: int = 0) -> None:
        self.index = index
        self.reason: FinishReason.ValueType | None = None
        self.native = ""
        self._calls: list[bool] = []  # by index: whether any of the arguments has come

    @property
    def has_calls(self) -> bool:
        """Whether the model has called a tool."""
        return bool(self._calls)

    def text(self, chunk: ChatCompletionChunk, text: str) -> None:
        """Append to the content."""
        if text:
            chunk.choices.add(index=self.index, content=text)

    def reasoning(self, chunk: ChatCompletionChunk, text: str) -> None:
        """Append to the reasoning."""
        if text:
            chunk.choices.add(index=self.index, reasoning_content=text)

    def refusal(self, chunk: ChatCompletionChunk, text: str) -> None:
        """Append to the refusal."""
        if text:
            chunk.choices.add(index=self.index, refusal=text)

    def state(self, chunk: ChatCompletionChunk, state: bytes) -> None:
        """Append opaque state of the whole message."""
        if state:
            chunk.choices.add(index=self.index, provider_state=state)

    def begin_call(
        self,
        chunk: ChatCompletionChunk,
        call_id: str,
        name: str,
        arguments: str = "",
        state: bytes = b"",
    ) -> int:
        """Begin a tool call and return its index. An empty id gets one that is unique here."""
        call = len(self._calls)
        self._calls.append(bool(arguments))
        delta = chunk.choices.add(index=self.index)
        delta.tool_calls.add(
            index=call,
            id=call_id or f"call_{self.index}_{call}",
            name=name,
            arguments=arguments,
            provider_state=state,
        )
        return call

    def arguments(self, chunk: ChatCompletionChunk, call: int, text: str) -> None:
        """Append to a call's arguments."""
        if text:
            self._calls[call] = True
            chunk.choices.add(index=self.index).tool_calls.add(index=call, arguments=text)

    def end_call(self, chunk: ChatCompletionChunk, call: int) -> None:
        """End a call: one that has no arguments has empty ones."""
        if not self._calls[call]:
            self.arguments(chunk, call, "{}")

    def finish(self, reason: FinishReason.ValueType, native: str) -> None:
        """Remember why the choice ended; the last word counts."""
        self.reason, self.native = reason, native

    def last(self) -> ChoiceDelta:
        """Return the last chunk's delta. Raises ProviderFault TRUNCATED if it has not ended."""
        if self.reason is None:
            raise ProviderFault(FaultKind.TRUNCATED, "the stream ended without a finish reason")
        return ChoiceDelta(
            index=self.index,
            finish_reason=with_calls(self.reason, self.has_calls),
            native_finish_reason=self.native,
        )


def with_calls(reason: FinishReason.ValueType, has_calls: bool) -> FinishReason.ValueType:
    """Return the finish reason: a call overrides `stop`, never `length` or `content_filter`."""
    if has_calls and reason == FINISH_REASON_STOP:
        return FINISH_REASON_TOOL_CALLS
    return reason


def last_chunk(choices: list[ChoiceState], usage: Usage | None) -> ChatCompletionChunk:
    """Return the last chunk of a stream. Raises ProviderFault TRUNCATED if it is not complete."""
    if not choices:
        raise ProviderFault(FaultKind.TRUNCATED, "the stream ended without a choice")
    chunk = ChatCompletionChunk(choices=[choice.last() for choice in choices], last=True)
    if usage is not None:
        chunk.usage.CopyFrom(usage)
    return chunk
