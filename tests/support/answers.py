"""The one form to which every door's answer is reduced, so that the doors can be compared.

What is made anew for each answer (id, creation time) is checked and left out; what REST cannot say
about a stream's delta boundaries is not, because it says them too: one event, one delta.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

ANSWER_ID = re.compile(r"chatcmpl-[0-9a-f]{24}")
REQUEST_TIMEOUT = 30.0  # seconds in which any answer of a test must be over


@dataclass
class ToolCall:
    """A tool call, or (in a delta) a piece of one. `index` is its place in the message."""

    index: int
    id: str = ""
    name: str = ""
    arguments: str = ""
    state: bytes = b""


@dataclass
class Choice:
    """A choice, or (in a delta) what is new in it. None is "not there", as opposed to empty."""

    index: int
    text: str | None = None
    reasoning: str | None = None
    refusal: str | None = None
    calls: list[ToolCall] = field(default_factory=list)
    logprobs: dict[str, Any] | None = None
    finish: str | None = None
    native_finish: str | None = None  # the provider's own word, where it is another one
    state: bytes = b""


@dataclass
class Usage:
    """What an answer used, in tokens."""

    prompt: int
    completion: int
    total: int
    cached: int = 0
    cache_write: int = 0
    reasoning: int = 0
    estimated: bool = False


@dataclass
class Route:
    """How an answer came about."""

    requested: str
    served: str
    provider: str
    attempts: int
    fallback: bool = False
    reason: str = ""
    chain: tuple[str, ...] = ()
    replayed: bool = False  # it was another call's


@dataclass
class Failure:
    """What the caller is told when there is no answer, or no end of it."""

    status: int  # HTTP
    type: str
    code: str | None
    param: str | None
    message: str
    retry_after: int | None = None  # seconds; only where a header can still say it


@dataclass
class Answer:
    """An answer through one door."""

    model: str = ""
    choices: list[Choice] = field(default_factory=list)  # put together, by index
    deltas: list[Choice] = field(default_factory=list)  # of a stream, in order
    usage: Usage | None = None
    fingerprint: str | None = None
    route: Route | None = None
    complete: bool = False
    failure: Failure | None = None

    @property
    def text(self) -> str | None:
        """The first choice's text."""
        return self.choices[0].text if self.choices else None

    @property
    def finish(self) -> str | None:
        """The first choice's finish reason."""
        return self.choices[0].finish if self.choices else None

    @property
    def calls(self) -> list[tuple[str, str]]:
        """Name and arguments of the first choice's tool calls."""
        return [(call.name, call.arguments) for call in self.choices[0].calls]

    @property
    def code(self) -> str | None:
        """The failure's code; there must be a failure."""
        assert self.failure is not None, self
        return self.failure.code

    def append(self, delta: Choice) -> None:
        """Add a delta to the choice it belongs to."""
        self.deltas.append(delta)
        choice = next((c for c in self.choices if c.index == delta.index), None)
        if choice is None:
            choice = Choice(delta.index)
            self.choices = sorted([*self.choices, choice], key=lambda c: c.index)
        choice.text = _joined(choice.text, delta.text)
        choice.reasoning = _joined(choice.reasoning, delta.reasoning)
        choice.refusal = _joined(choice.refusal, delta.refusal)
        choice.state += delta.state
        for piece in delta.calls:
            _append_call(choice.calls, piece)
        if delta.logprobs is not None:
            _append_logprobs(choice, delta.logprobs)
        if delta.finish is not None:
            assert choice.finish is None, "a choice ends once"
            choice.finish, choice.native_finish = delta.finish, delta.native_finish


def _joined(text: str | None, more: str | None) -> str | None:
    return text if more is None else (text or "") + more


def _append_call(calls: list[ToolCall], piece: ToolCall) -> None:
    call = next((c for c in calls if c.index == piece.index), None)
    if call is None:
        assert piece.index == len(calls), "calls are numbered from 0, without gaps"
        assert piece.id and piece.name, "the first piece of a call names it"
        calls.append(call := ToolCall(piece.index))
    else:
        assert not piece.id and not piece.name, "only the first piece of a call names it"
    call.id += piece.id
    call.name += piece.name
    call.arguments += piece.arguments
    call.state += piece.state


def _append_logprobs(choice: Choice, more: Mapping[str, Any]) -> None:
    so_far = choice.logprobs or {"content": [], "refusal": []}
    choice.logprobs = {
        name: [*(so_far[name] or []), *(more[name] or [])] for name in ("content", "refusal")
    }
