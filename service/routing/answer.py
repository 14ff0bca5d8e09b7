"""A streamed answer of one model, as the caller gets it: one id, one model, one ending."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable

from llmbase.v1.chat_completion_pb2 import (
    ChatCompletionChunk,
    ChatCompletionRequest,
    Resumed,
    RouteFacts,
    Usage,
)

from service.errors import ProviderFault, TotalLimitExceeded
from service.providers import estimate
from service.providers.provider import AnswerStream
from service.routing import ending
from service.routing.attempt import Attempt
from service.routing.seam import Seam

Resume = Callable[[ChatCompletionRequest], Awaitable[tuple[AnswerStream, Attempt] | None]]


class Answer:
    """The chunks from the commit line on. Whoever holds it closes it.

    `route` never changes; `usage` is what has been used so far: an estimate until the end.
    `resume` asks another target to go on, where the caller allows that; `charge` is told what has
    been used when that is settled.
    """

    def __init__(
        self,
        request: ChatCompletionRequest,
        stream: AnswerStream,
        attempt: Attempt,
        route: RouteFacts,
        answer_id: str,
        created: int,
        resume: Resume,
        charge: Callable[[Usage], None],
    ) -> None:
        self._asked = request
        self._request = request  # as the target that answers now has it
        self._stream = stream
        self._before = 0  # characters that came from the targets before
        self._attempt = attempt
        self.route = route
        self._id = answer_id
        self._created = created
        self._given = False  # whether a chunk has been given: the first carries the route
        self._usage: Usage | None = None
        self._resume = resume
        self._charge = charge
        self._seam = Seam() if Seam.possible(request) else None
        self._resumed: Resumed | None = None  # to be told with the next chunk

    @property
    def usage(self) -> Usage:
        """The providers' figures once the answer is complete, else our estimate of what came."""
        return self._own_usage() if self._seam is None else self._seam.add_to(self._own_usage())

    @property
    def characters(self) -> int:
        """How much text there has been so far."""
        return self._before + self._stream.characters

    async def read(self) -> ChatCompletionChunk | None:
        """Return the next chunk, None after the last.

        Raises UpstreamTruncated, UpstreamStalled, UpstreamError, DeadlineExceeded.
        """
        while True:
            try:
                chunk = await self._stream.read()
                break
            except ProviderFault as fault:
                self._settle()
                self._attempt.fail(fault)
                await self._go_on(fault)
            except BaseException as error:
                self._settle()  # before the caller is told, since the trace goes with that
                if isinstance(error, TotalLimitExceeded):
                    self._attempt.overrun(error)
                else:
                    self._attempt.break_off(error)
                raise
        if chunk is None:
            return None
        chunk.id = self._id
        chunk.created = self._created
        chunk.model = self.route.served_model
        if not self._given:
            self._given = True
            chunk.route.CopyFrom(self.route)
        if chunk.last:
            if not chunk.HasField("usage"):
                chunk.usage.CopyFrom(self._own_usage())
            self._usage = chunk.usage
            self._settle(chunk)
        if self._seam is not None:
            self._mark(chunk, self._seam)
        return chunk

    def close(self) -> None:
        """Give the provider's connection up; at once, if the answer is not over."""
        self._stream.close()
        if self._usage is None:
            self._settle()
            self._attempt.break_off(asyncio.CancelledError())  # unless it is over already
        self._attempt.leave()

    def _settle(self, last: ChatCompletionChunk | None = None) -> None:
        self._attempt.settle(self._own_usage(), last)
        self._charge(self.usage)

    def _own_usage(self) -> Usage:
        """Return what the target that answers now has used."""
        if self._usage is None:
            return estimate.usage(self._request, self._stream.characters)
        return self._usage

    def _mark(self, chunk: ChatCompletionChunk, seam: Seam) -> None:
        seam.note(chunk)
        if chunk.last:
            self._usage = Usage()
            self._usage.CopyFrom(chunk.usage)
            chunk.usage.CopyFrom(self.usage)
        if self._resumed is not None:
            chunk.resumed.CopyFrom(self._resumed)
            self._resumed = None

    async def _go_on(self, fault: ProviderFault) -> None:
        """Let another target take over. Raises what the fault means when none can."""
        if self._seam is None or not self._seam.plain:
            raise ending.after_commit(fault) from fault
        self._stream.close()
        request = self._seam.request(self._asked)
        resumed = await self._resume(request)
        if resumed is None:
            raise ending.after_commit(fault) from fault
        self._seam.settle(self._own_usage())
        self._before += self._stream.characters
        self._stream, self._attempt = resumed
        self._request = request
        self._resumed = Resumed(
            reason=ending.REASONS[type(ending.after_commit(fault))],
            provider=self._attempt.step.candidate.provider.name,
            characters=self._seam.characters,
        )
