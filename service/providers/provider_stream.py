"""One stream of a provider, from bytes to canonical chunks: what one read brought is one chunk."""

from __future__ import annotations

from llmbase.v1.chat_completion_pb2 import ChatCompletionChunk

from service.config import TimeoutsConfig
from service.errors import FaultKind, ProviderFault
from service.providers.call import Wait
from service.providers.dialects.dialect import Event, Framer, StreamDecoder
from service.providers.estimate import delta_characters
from service.providers.http_client.response import Response
from service.providers.limits import Limit
from service.providers.patience import Patience

# Usage may come after the finish reasons; a provider that never sends it must not hold the answer.
_USAGE_PATIENCE = 2.0  # seconds


class ProviderStream:
    """Reads one streamed answer of at most `largest` bytes.

    `total` is the limit on all of it, which runs and is the stream's to let go. `characters` counts
    the answer's text so far, for when the provider gives no usage. `route` is there for streams of
    other kinds: over HTTP nobody says how an answer came about.
    """

    route = None

    def __init__(
        self,
        response: Response,
        framer: Framer,
        decoder: StreamDecoder,
        wait: Wait,
        timeouts: TimeoutsConfig,
        largest: int,
        total: Limit,
    ) -> None:
        self._response = response
        self._framer = framer
        self._decoder = decoder
        self._wait = wait
        self._patience = Patience(wait, timeouts)
        self._room = self._largest = largest
        self._total = total
        self._first: ChatCompletionChunk | None = None
        self._fault: ProviderFault | None = None  # to be raised once what came before it is given
        self._at_end = False  # of the bytes
        self._over = False  # the last chunk has been given
        self.characters = 0

    async def open(self) -> None:
        """Read up to the first content (or terminal event). To be called inside `call.wait`."""
        chunk = ChatCompletionChunk()
        while not (chunk.choices or self._decoder.finished or self._decoder.done):
            if self._at_end:
                self._decoder.finish()  # raises: nothing has come
                break
            self._decode(self._taken(await self._response.read()), chunk)
        if chunk.choices:
            self._first = chunk
        elif self._decoder.done:
            self._first = self._last()

    async def read(self) -> ChatCompletionChunk | None:
        """Return the next chunk, None after the last. Raises ProviderFault, DeadlineExceeded."""
        if self._first is not None:
            chunk, self._first = self._first, None
            return self._counted(chunk)
        if self._over:
            return None
        chunk = ChatCompletionChunk()
        while not chunk.choices:
            if self._fault is not None:
                raise self._fault
            if self._decoder.done or self._at_end:
                return self._last()
            try:
                data = await self._next()
            except ProviderFault:
                if not self._decoder.finished:
                    raise
                return self._last()  # complete but for its usage, which never came
            self._decode(data, chunk)
        return self._counted(chunk)

    def close(self) -> None:
        """Give the connection up: back to the pool if the answer is over, else closed at once."""
        self._patience.close()
        self._total.let_go(self._wait)
        if self._over:
            self._response.linger()
        else:
            self._response.close()

    async def _next(self) -> bytes:
        if self._decoder.finished:
            self._patience.begin_last(_USAGE_PATIENCE)
        else:
            self._patience.begin(self.characters)
        try:
            with self._wait:
                data = await self._response.read()
        finally:
            self._patience.end()
        return self._taken(data)

    def _taken(self, data: bytes) -> bytes:
        """Look at what a read brought: b"" at the end, clean or not; the decoder knows which."""
        self._at_end = not data
        self._room -= len(data)
        if self._room < 0:
            raise ProviderFault(FaultKind.MALFORMED, f"a stream of more than {self._largest} bytes")
        return data

    def _decode(self, data: bytes, chunk: ChatCompletionChunk) -> None:
        events: list[Event] = self._framer.feed(data) if data else self._framer.end()
        try:
            for event in events:
                self._decoder.decode(event, chunk)
                if self._decoder.done:
                    break
        except ProviderFault as fault:
            # Content that shared a read with the fault is given first, as if it had come alone.
            if not chunk.choices:
                raise
            self._fault = fault

    def _counted(self, chunk: ChatCompletionChunk) -> ChatCompletionChunk:
        counted = self._decoder.characters
        if counted is None:
            for delta in chunk.choices[:]:  # a slice is the quickest way through
                self.characters += delta_characters(delta)
        else:
            self.characters = counted
        return chunk

    def _last(self) -> ChatCompletionChunk:
        chunk = self._decoder.finish()
        self._over = True
        return chunk
