"""One candidate of an answer: what has to be remembered of it, and what its parts bring."""

from __future__ import annotations

import math
from collections.abc import Iterable

from llmbase.v1 import chat_completion_pb2 as pb

from service.errors import FaultKind, ProviderFault
from service.providers.dialects import gemini_state as state
from service.providers.dialects import gemini_wire as wire
from service.providers.dialects.gemini_state import Signature
from service.providers.dialects.openai_calls import CallIds
from service.providers.dialects.openai_wire import arguments_text
from service.providers.dialects.stream_state import ChoiceState

_VERY_UNLIKELY = -9999.0  # OpenAI's own stand-in for a probability too small for a number


class Candidate:
    """A candidate of which more may come. Raises ProviderFault, and ValueError for garbage.

    `state` is the choice that it is to the caller.
    """

    __slots__ = ("_calls", "_ids", "_said", "_thought", "state")

    def __init__(self, index: int, answer_id: str) -> None:
        self.state = ChoiceState(index)
        self._ids = CallIds(f"{answer_id}/{index}")
        self._calls = 0
        self._said = 0  # characters of the content
        self._thought = 0  # characters of the reasoning

    @property
    def ended(self) -> bool:
        """Whether its finish reason has come."""
        return self.state.reason is not None

    def take(self, given: wire.Candidate, chunk: pb.ChatCompletionChunk) -> None:
        """Append what a response brings of this candidate."""
        before = len(chunk.choices)
        for part in (given.content.parts if given.content else None) or ():
            if part.function_call is not None:
                self._call(part.function_call, part.thought_signature or "", chunk)
            elif part.text is not None:
                self._text(part.text, part, chunk)
        if given.logprobs_result is not None and given.logprobs_result.chosen_candidates:
            new = len(chunk.choices) > before
            delta = chunk.choices[-1] if new else chunk.choices.add(index=self.state.index)
            delta.logprobs.content.extend(_logprobs(given.logprobs_result))

    def _text(self, text: str, part: wire.Part, chunk: pb.ChatCompletionChunk) -> None:
        thought = bool(part.thought)
        if thought:
            start, self._thought = self._thought, self._thought + len(text)
            self.state.reasoning(chunk, text)
        else:
            start, self._said = self._said, self._said + len(text)
            self.state.text(chunk, text)
        if part.thought_signature:
            place = Signature(part.thought_signature, thought, start, len(text), self._calls)
            self.state.state(chunk, state.line(place))

    def _call(
        self, given: wire.FunctionCall, signature: str, chunk: pb.ChatCompletionChunk
    ) -> None:
        if not given.name:
            raise ProviderFault(FaultKind.MALFORMED, "a tool call without a name")
        self._calls += 1
        self.state.begin_call(
            chunk,
            self._ids.give(given.id),
            given.name,
            arguments_text(given.args) or "{}",
            state.line(Signature(signature)) if signature else b"",
        )


def _logprobs(given: wire.LogprobsResult) -> Iterable[pb.TokenLogprob]:
    chosen, top = given.chosen_candidates or [], given.top_candidates or []
    for position, token in enumerate(chosen):
        likely = top[position].candidates if position < len(top) else None
        yield _token(token, likely or ())


def _token(given: wire.Token, likely: Iterable[wire.Token]) -> pb.TokenLogprob:
    return pb.TokenLogprob(
        token=given.token or "",
        logprob=_number(given.log_probability),
        top_logprobs=[_token(token, ()) for token in likely],
    )


def _number(given: float | str | None) -> float:
    """Return a log probability; one that is left out is 0. Raises ValueError for no number."""
    number = float(given or 0.0)
    if not number < math.inf:  # or not a number at all
        raise ValueError
    return max(number, _VERY_UNLIKELY)
