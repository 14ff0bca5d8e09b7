"""What is asked, and what the one right answer to it is. Pure; provider and load both read it.

Every question has a number of its own, which comes back in every piece of its answer: an answer to
somebody else's question, a lost piece and a piece out of turn all read differently.
"""

from __future__ import annotations

import re
from functools import lru_cache
from typing import NamedTuple

import orjson

MODEL = "bench/model"  # as the gateway is asked
UPSTREAM_MODEL = "upstream-model"  # as the provider is
KEY = "llmbase_bench-key-that-opens-nothing-0123456789"
PROVIDER_KEY = "bench-provider-key"

_NOBODY = b"bench:mark"
_MARK = re.compile(rb"bench:([0-9]{8}):([0-9]{5}):([0-9]{5}):")
_FILL = "The quick brown fox jumps over the lazy dog, and the dog does not mind at all. " * 10
_TURN = "Please look at the figures of the last quarter, and say in two sentences what they mean."
_TOOL = {
    "type": "object",
    "properties": {
        "place": {"type": "string", "description": "A city and its country"},
        "unit": {"type": "string", "enum": ["celsius", "fahrenheit"]},
        "days": {"type": "integer", "minimum": 1, "maximum": 14},
    },
    "required": ["place"],
    "additionalProperties": False,
}


class Question(NamedTuple):
    """`chunks` says how long the answer is; `delay`: milliseconds before each (or the only) one."""

    number: int
    chunks: int
    delay: int

    @property
    def mark(self) -> str:
        """The words in the last message that say it all."""
        return f"bench:{self.number:08d}:{self.chunks:05d}:{self.delay:05d}:"

    @property
    def usage(self) -> dict[str, int]:
        """What the provider says of tokens: another sum for every question."""
        asked = self.number % 9973 + 1
        return {
            "prompt_tokens": asked,
            "completion_tokens": self.chunks,
            "total_tokens": asked + self.chunks,
        }

    def piece(self, place: int) -> str:
        """One chunk's text; places begin with 0."""
        return f"{self.number:08d}.{place:05d} "

    def streamed(self) -> str:
        """The whole text of a streamed answer."""
        head = f"{self.number:08d}."
        return "".join([f"{head}{place:05d} " for place in range(self.chunks)])

    def whole(self) -> str:
        """The text of an answer that is not streamed: about 800 characters."""
        return f"{self.number:08d} {_FILL}"


def asked_in(body: bytes) -> Question | None:
    """Find the question in a request's body; None where there is none."""
    at = body.rfind(b"bench:")
    found = _MARK.match(body, at) if at >= 0 else None
    return Question(int(found[1]), int(found[2]), int(found[3])) if found else None


def body(question: Question, *, stream: bool, image: str = "") -> bytes:
    """A typical request, 3.7 KB: ten messages and three tools; with `image`, a data: URL too."""
    return _template(stream, image).replace(_NOBODY, question.mark.encode())


@lru_cache(4)
def _template(stream: bool, image: str) -> bytes:
    messages: list[dict[str, object]] = [
        {"role": "system", "content": f"You are a careful analyst. {_TURN}"}
    ]
    for turn in range(4):
        messages.append({"role": "user", "content": f"{turn}. {_TURN} {_TURN} {_TURN}"})
        messages.append({"role": "assistant", "content": f"{turn}. {_TURN} {_TURN}"})
    last: object = f"{_TURN} {_NOBODY.decode()}"
    if image:
        last = [
            {"type": "image_url", "image_url": {"url": image}},
            {"type": "text", "text": last},
        ]
    messages.append({"role": "user", "content": last})
    asked: dict[str, object] = {
        "model": MODEL,
        "messages": messages,
        "temperature": 0.7,
        "max_tokens": 1000,
        "tools": [
            {
                "type": "function",
                "function": {"name": name, "description": _TURN, "parameters": _TOOL},
            }
            for name in ("look_up", "forecast", "compare")
        ],
    }
    if stream:
        asked |= {"stream": True, "stream_options": {"include_usage": True}}
    return orjson.dumps(asked)
