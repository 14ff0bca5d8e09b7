"""What has to be known of a stream so that another target can go on with it. Pure."""

from __future__ import annotations

from llmbase.v1.chat_completion_pb2 import (
    ROLE_ASSISTANT,
    ChatCompletionChunk,
    ChatCompletionRequest,
    ContentPart,
    Message,
    Usage,
)

from service.money import billed
from service.providers import estimate

_MOST = 2**31 - 1
_ALLOWED = ChatCompletionRequest.CONTINUATION_ALLOW


class Seam:
    """Collects a stream's text. Only text can be gone on with: no tool call, no log probability."""

    def __init__(self) -> None:
        self.plain = True
        self.characters = 0
        self._texts: list[str] = []
        self._used = Usage()

    @staticmethod
    def possible(request: ChatCompletionRequest) -> bool:
        """Whether the caller allows continuation, and the answer may be one plain text."""
        return (
            request.llmbase.continuation == _ALLOWED
            and request.n <= 1
            and not request.logprobs
            and not request.response_format.WhichOneof("format")
        )

    def note(self, chunk: ChatCompletionChunk) -> None:
        """Remember what the caller has been given."""
        for delta in chunk.choices:
            if delta.tool_calls or delta.refusal or delta.provider_state:
                self.plain = False
            if delta.content:
                self._texts.append(delta.content)
                self.characters += len(delta.content)

    def request(self, request: ChatCompletionRequest) -> ChatCompletionRequest:
        """Return the request with what is there of the answer as its last turn."""
        longer = ChatCompletionRequest()
        longer.CopyFrom(request)
        text = "".join(self._texts)
        if request.max_tokens:
            longer.max_tokens = max(1, request.max_tokens - estimate.tokens(self.characters))
        longer.messages.append(Message(role=ROLE_ASSISTANT, content=[ContentPart(text=text)]))
        return longer

    def settle(self, used: Usage) -> None:
        """Keep what the target before has used."""
        self._used = self.add_to(used)

    def add_to(self, used: Usage) -> Usage:
        """Return a target's usage with that of the targets before it."""
        before = self._used
        total = Usage(
            prompt_tokens=_sum(used.prompt_tokens, before.prompt_tokens),
            completion_tokens=_sum(used.completion_tokens, before.completion_tokens),
            total_tokens=_sum(used.total_tokens, before.total_tokens),
            cached_tokens=_sum(used.cached_tokens, before.cached_tokens),
            cache_write_tokens=_sum(used.cache_write_tokens, before.cache_write_tokens),
            reasoning_tokens=_sum(used.reasoning_tokens, before.reasoning_tokens),
            estimated=used.estimated or before.estimated,
        )
        if any(_is_billed_apart(usage) for usage in (used, before)):
            (prompt, completion), (prompt_before, completion_before) = billed(used), billed(before)
            total.billed_prompt_tokens = _sum(prompt, prompt_before)
            total.billed_completion_tokens = _sum(completion, completion_before)
        return total


def _is_billed_apart(usage: Usage) -> bool:
    return usage.HasField("billed_prompt_tokens") or usage.HasField("billed_completion_tokens")


def _sum(one: int, other: int) -> int:
    """Return a sum that the proto can hold: a provider may say what it likes."""
    return min(one + other, _MOST)
