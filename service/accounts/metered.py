"""A streamed answer that is counted while it is read, and cut when its money is used up."""

from __future__ import annotations

from typing import Protocol

from llmbase.v1.chat_completion_pb2 import (
    FINISH_REASON_LENGTH,
    ChatCompletionChunk,
    ChoiceDelta,
    RouteFacts,
    Usage,
)
from llmbase.v1.routing_pb2 import RouteTrace

from service.accounts.charging import Charge

BUDGET = "BUDGET"  # the native finish reason of what was cut


class Counted(Protocol):
    """An answer that knows what it has used; see `routing.answer.Answer`."""

    @property
    def route(self) -> RouteFacts: ...  # noqa: D102

    @property
    def usage(self) -> Usage: ...  # noqa: D102

    @property
    def characters(self) -> int: ...  # noqa: D102

    async def read(self) -> ChatCompletionChunk | None: ...  # noqa: D102

    def close(self) -> None: ...  # noqa: D102


class MeteredAnswer:
    """The chunks of an answer of so many choices. Whoever holds it closes it; it is settled then.

    The chunk with which the money is used up is still given: it was paid for. The next is the last.
    """

    def __init__(self, answer: Counted, charge: Charge, trace: RouteTrace, choices: int) -> None:
        self._answer = answer
        self._charge = charge
        self._trace = trace
        self._choices = choices
        self._room = charge.room()
        self._cut: Usage | None = None  # what had been used when the answer was cut
        self._whole = False
        self._ended: BaseException | None = None
        self._closed = False
        self._id, self._created = "", 0
        self.route = answer.route

    @property
    def usage(self) -> Usage:
        """What has been used so far: an estimate until the end."""
        return self._answer.usage if self._cut is None else self._cut

    async def read(self) -> ChatCompletionChunk | None:
        """Return the next chunk, None after the last. Raises as the answer does."""
        if self._whole:
            return None
        if self._cut is not None:
            self._whole = True
            return self._last(self._cut)
        try:
            chunk = await self._answer.read()
        except BaseException as error:
            self._ended = error
            raise
        if chunk is None or chunk.last:
            self._whole = True
        elif self._room is not None and self._answer.characters >= self._room:
            self._id, self._created = chunk.id, chunk.created
            self._cut = self._answer.usage
            self._answer.close()  # now: what it would go on to say nobody would pay for
        return chunk

    def close(self) -> None:
        """Give the provider up, and settle."""
        if self._closed:
            return
        self._closed = True
        self._answer.close()
        left = None if self._whole or self._cut is not None else self._ended or GeneratorExit()
        self._charge.settle(self.usage, self.route, self._trace, left)

    def _last(self, usage: Usage) -> ChatCompletionChunk:
        return ChatCompletionChunk(
            id=self._id,
            created=self._created,
            model=self.route.served_model,
            choices=[
                ChoiceDelta(
                    index=index, finish_reason=FINISH_REASON_LENGTH, native_finish_reason=BUDGET
                )
                for index in range(self._choices)
            ],
            usage=usage,
            last=True,
        )
