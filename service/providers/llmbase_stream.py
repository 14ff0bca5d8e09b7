"""One streamed answer of another llmbase, read from its gRPC call."""

from __future__ import annotations

from collections.abc import Callable

import grpc
from llmbase.v1.chat_completion_pb2 import (
    ChatCompletionChunk,
    ChatCompletionRequest,
    RouteFacts,
)

from service.config import TimeoutsConfig
from service.errors import FaultKind, ProviderFault
from service.providers.call import Wait
from service.providers.estimate import delta_characters
from service.providers.limits import Limit
from service.providers.patience import Patience

StreamCall = grpc.aio.UnaryStreamCall[ChatCompletionRequest, ChatCompletionChunk]
# What a status means; whether the answer had begun.
Failures = Callable[[grpc.aio.AioRpcError, bool], Exception]


class LlmbaseStream:
    """Reads one streamed answer. `failure` says what a status means, `total` is the limit
    on all of it, which runs and is the stream's to let go.

    `characters` counts the answer's text so far, `route` is what they say of their own.
    """

    def __init__(
        self,
        rpc: StreamCall,
        failure: Failures,
        wait: Wait,
        timeouts: TimeoutsConfig,
        total: Limit,
        linger: Callable[[StreamCall], None],
    ) -> None:
        self._rpc = rpc
        self._failure = failure
        self._wait = wait
        self._patience = Patience(wait, timeouts)
        self._total = total
        self._linger = linger
        self._first: ChatCompletionChunk | None = None
        self._over = False  # the last chunk has been given
        self.characters = 0
        self.route: RouteFacts | None = None

    async def open(self) -> None:
        """Read up to the first content. To be called inside `call.wait`."""
        self._first = await self._receive(False)

    async def read(self) -> ChatCompletionChunk | None:
        """Return the next chunk, None after the last. Raises ProviderFault, DeadlineExceeded."""
        if self._over:
            return None
        chunk, self._first = self._first, None
        if chunk is None:
            self._patience.begin(self.characters)
            try:
                with self._wait:
                    chunk = await self._receive(True)
            finally:
                self._patience.end()
        self._over = chunk.last
        for delta in chunk.choices:
            self.characters += delta_characters(delta)
        return chunk

    def close(self) -> None:
        """Give the call up: it ends by itself if the answer is over, else it is cancelled."""
        self._patience.close()
        self._total.let_go(self._wait)
        if self._over and not self._rpc.done():
            self._linger(self._rpc)
        else:
            self._rpc.cancel()

    async def _receive(self, begun: bool) -> ChatCompletionChunk:
        """Return the next chunk that says something; `begun`: it is not the first."""
        while True:
            try:
                chunk = await self._rpc.read()
            except grpc.aio.AioRpcError as error:
                raise self._failure(error, begun) from None
            if chunk is grpc.aio.EOF:
                raise ProviderFault(FaultKind.TRUNCATED, "the stream ended without its last chunk")
            if not isinstance(chunk, ChatCompletionChunk):  # it could not be parsed
                raise ProviderFault(FaultKind.MALFORMED, "a message that is no chunk")
            if chunk.HasField("route"):
                self.route = RouteFacts()
                self.route.CopyFrom(chunk.route)
                chunk.ClearField("route")  # the caller gets one of ours
            if chunk.choices or chunk.last:
                return chunk
