"""A streamed answer of one provider, as the caller gets it: one id, one model, one ending."""

from __future__ import annotations

from llmbase.v1.chat_completion_pb2 import (
    ChatCompletionChunk,
    ChatCompletionRequest,
    RouteFacts,
    Usage,
)

from service.errors import (
    Error,
    FaultKind,
    ProviderFault,
    UpstreamError,
    UpstreamStalled,
    UpstreamTruncated,
)
from service.providers import estimate
from service.providers.provider import AnswerStream


class Answer:
    """The chunks from the commit line on. Whoever holds it closes it.

    `route` never changes; `usage` is what has been used so far: an estimate until the end.
    """

    def __init__(
        self,
        request: ChatCompletionRequest,
        stream: AnswerStream,
        route: RouteFacts,
        answer_id: str,
        created: int,
    ) -> None:
        self._request = request
        self._stream = stream
        self.route = route
        self._id = answer_id
        self._created = created
        self._given = False  # whether a chunk has been given: the first carries the route
        self._usage: Usage | None = None

    @property
    def usage(self) -> Usage:
        """The provider's figures once the answer is complete, else our estimate of what came."""
        if self._usage is None:
            return estimate.usage(self._request, self._stream.characters)
        return self._usage

    async def read(self) -> ChatCompletionChunk | None:
        """Return the next chunk, None after the last.

        Raises UpstreamTruncated, UpstreamStalled, UpstreamError, DeadlineExceeded.
        """
        try:
            chunk = await self._stream.read()
        except ProviderFault as fault:
            raise _after_commit(fault) from fault
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
                chunk.usage.CopyFrom(self.usage)
            self._usage = chunk.usage
        return chunk

    def close(self) -> None:
        """Give the provider's connection up; at once, if the answer is not over."""
        self._stream.close()


def _after_commit(fault: ProviderFault) -> Error:
    """Say what a fault means once the caller has content: nobody else can go on with it."""
    if fault.kind is FaultKind.TRUNCATED:
        return UpstreamTruncated("The provider's stream ended before the answer was complete.")
    if fault.kind is FaultKind.SLOW:
        return UpstreamStalled(f"The provider's stream stalled: {fault.detail}.")
    return UpstreamError("The provider's stream failed before the answer was complete.")
