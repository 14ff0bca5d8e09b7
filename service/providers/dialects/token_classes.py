"""Usage by class, and OpenAI's figures derived from it: in one place, once.

Providers disagree on what their figures include; a dialect says what each class is, and this says
what the caller sees: cached tokens are part of the prompt's, reasoning tokens of the completion's.
"""

from __future__ import annotations

from dataclasses import dataclass

from llmbase.v1.chat_completion_pb2 import Usage

_MOST = 2**30 - 1  # a bound that keeps the sum of any two figures inside the proto's int32


@dataclass(slots=True)
class TokenClasses:
    """Tokens of an answer, each counted in exactly one class."""

    input_uncached: int = 0
    cache_read: int = 0
    cache_write: int = 0
    output_text: int = 0
    reasoning: int = 0

    def to_usage(self) -> Usage:
        """Return OpenAI's figures."""
        read, write = _sane(self.cache_read), _sane(self.cache_write)
        reasoning = _sane(self.reasoning)
        prompt = min(_sane(self.input_uncached) + read + write, _MOST)
        completion = min(_sane(self.output_text) + reasoning, _MOST)
        return Usage(
            prompt_tokens=prompt,
            completion_tokens=completion,
            total_tokens=prompt + completion,
            cached_tokens=read,
            cache_write_tokens=write,
            reasoning_tokens=reasoning,
        )


def _sane(count: int) -> int:
    return max(0, min(count, _MOST))
