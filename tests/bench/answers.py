"""Whether an answer is the right one, to the last byte that matters. No I/O.

Text is compared as a whole: it holds the question's number and the place of every piece, so what
is missing, doubled, out of turn or somebody else's shows. Gateways may cut and join pieces.
"""

from __future__ import annotations

import msgspec

from tests.bench.questions import Question
from tests.bench.wire import WrongAnswer


class _Usage(msgspec.Struct):
    prompt_tokens: int
    completion_tokens: int
    total_tokens: int


class _Text(msgspec.Struct):
    content: str | None = None


class _Choice(msgspec.Struct):
    index: int
    finish_reason: str | None = None
    delta: _Text | None = None
    message: _Text | None = None


class _Answer(msgspec.Struct):
    choices: list[_Choice]
    usage: _Usage | None = None


_decode = msgspec.json.Decoder(_Answer).decode


class Whole:
    """An answer in one body."""

    def __init__(self, question: Question) -> None:
        self._question = question
        self._pieces: list[bytes] = []
        self.pieces = 0

    def feed(self, body: bytes) -> None:
        """Take what has come."""
        self._pieces.append(body)

    def end(self) -> None:
        """Raise WrongAnswer unless the answer is right."""
        answer = _decoded(b"".join(self._pieces))
        if len(answer.choices) != 1 or (choice := answer.choices[0]).index != 0:
            raise WrongAnswer(f"not one choice: {answer}")
        if choice.message is None or choice.message.content != self._question.whole():
            raise WrongAnswer(f"not the answer to {self._question}: {choice.message}")
        _check_end(self._question, choice.finish_reason, answer.usage)


class Streamed:
    """A streamed answer. `pieces` counts the pieces of text that have come."""

    def __init__(self, question: Question) -> None:
        self._question = question
        self._held = b""
        self._texts: list[str] = []
        self._finish_reason: str | None = None
        self._usage: _Usage | None = None
        self._done = False

    @property
    def pieces(self) -> int:
        """How much has come, in the provider's pieces."""
        return sum(map(len, self._texts)) // len(self._question.piece(0))

    def feed(self, body: bytes) -> None:
        """Take what has come. Raises WrongAnswer."""
        if self._held:
            body = self._held + body
        *events, self._held = body.split(b"\n\n")
        for event in events:
            if event.startswith(b"data: "):
                self._event(event[6:])
            elif not event.startswith(b":"):
                raise WrongAnswer(f"no event: {event[:80]!r}")

    def end(self) -> None:
        """Raise WrongAnswer unless the answer is right and whole."""
        if not self._done or self._held:
            raise WrongAnswer("a stream without a clean end")
        if (text := "".join(self._texts)) != self._question.streamed():
            raise WrongAnswer(
                f"not the answer to {self._question}: {text[:60]!r} ... {text[-60:]!r}"
            )
        _check_end(self._question, self._finish_reason, self._usage)

    def so_far(self) -> None:
        """Raise WrongAnswer unless what has come is the beginning of the right answer."""
        if not self._question.streamed().startswith("".join(self._texts)):
            raise WrongAnswer(f"not the beginning of the answer to {self._question}")

    def _event(self, data: bytes) -> None:
        if self._done:
            raise WrongAnswer("an event after [DONE]")
        if data == b"[DONE]":
            self._done = True
            return
        answer = _decoded(data)
        if answer.usage is not None:
            self._usage = answer.usage
        for choice in answer.choices:
            if choice.index != 0:
                raise WrongAnswer(f"a choice that nobody asked for: {choice}")
            if choice.finish_reason is not None:
                self._finish_reason = choice.finish_reason
            if choice.delta is not None and choice.delta.content:
                if self._finish_reason is not None:
                    raise WrongAnswer("text after the finish reason")
                self._texts.append(choice.delta.content)


def _decoded(body: bytes) -> _Answer:
    try:
        return _decode(body)
    except msgspec.DecodeError as error:
        raise WrongAnswer(f"{error}: {body[:200]!r}") from None


def _check_end(question: Question, reason: str | None, usage: _Usage | None) -> None:
    if reason != "stop":
        raise WrongAnswer(f"the finish reason {reason}")
    if usage is None or msgspec.to_builtins(usage) != question.usage:
        raise WrongAnswer(f"not the usage of {question}: {usage}")
