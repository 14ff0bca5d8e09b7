"""What a dialect is: a pure translator between our proto and one provider's wire format.

No I/O, no clock, no aiohttp, no gRPC: bytes and messages in, bytes and messages out. The provider
does the HTTP, the framer cuts the bytes into events, the dialect sees whole events only.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Protocol

from llmbase.v1.chat_completion_pb2 import (
    ChatCompletion,
    ChatCompletionChunk,
    ChatCompletionRequest,
)

from service.providers.framing.framer import Event, Framer
from service.providers.http_faults import Verdict
from service.providers.seen import Seen

__all__ = ["Dialect", "Event", "Framer", "HttpRequest", "StreamDecoder"]


@dataclass(slots=True)
class HttpRequest:
    """What to send: a path below the provider's base URL, headers and a body (POST).

    `ignored` names the request's fields (as REST calls them) that the provider cannot honour and
    that were therefore left out.
    """

    path: str
    body: bytes
    headers: Mapping[str, str] = field(default_factory=dict)
    ignored: tuple[str, ...] = ()


class StreamDecoder(Protocol):
    """The state machine of one stream, from event to canonical deltas.

    Finish reasons and usage are held back: they leave together in the chunk of `finish`.
    """

    @property
    def done(self) -> bool:
        """Whether a terminal event has been seen: nothing that follows will be read."""
        ...

    @property
    def finished(self) -> bool:
        """Whether every choice has its finish reason; only usage and the end may follow."""
        ...

    @property
    def characters(self) -> int | None:
        """How much text the deltas had so far; None where whoever wants to know has to count."""
        ...

    def decode(self, event: Event, chunk: ChatCompletionChunk) -> None:
        """Append the event's deltas to `chunk`; an event without content appends none.

        Raises ProviderFault: REPORTED or STATUS for an error event (REJECTED where it says the
        request is at fault), MALFORMED for garbage.
        """
        ...

    def finish(self) -> ChatCompletionChunk:
        """Return the last chunk: a finish reason for each choice, usage if given, `last` set.

        To be called at `done`, at `finished` or at the end of the bytes. Raises ProviderFault
        TRUNCATED when the answer is not complete.
        """
        ...


class Dialect(Protocol):
    """A provider's wire format. Stateless; one instance serves all requests of a provider.

    `takes_image_urls` says whether `https:` images may be passed on, or have to be bytes.
    """

    name: str
    takes_image_urls: bool

    def encode(
        self, request: ChatCompletionRequest, model: str, *, stream: bool, seen: Seen | None = None
    ) -> HttpRequest:
        """Translate a checked request; `model` is the provider's own name for it.

        `seen` is what a look at it has found, if there was one: it only spares another.
        """
        ...

    def decode(self, body: bytes) -> ChatCompletion:
        """Translate a whole answer: choices, usage (if given) and system_fingerprint.

        Raises ProviderFault: MALFORMED, TRUNCATED, or for an error inside a 200 REPORTED, STATUS or
        REJECTED.
        """
        ...

    def decode_error(self, status: int, body: bytes) -> str:
        """Return the provider's own message in an HTTP error body; "" where there is none."""
        ...

    def judge_error(self, status: int, headers: Mapping[str, str], body: bytes) -> Verdict:
        """Return the status to go by, which documented words in an HTTP error can correct."""
        ...

    def framer(self) -> Framer:
        """Return a framer for one stream."""
        ...

    def decode_stream(self, choices: int = 1) -> StreamDecoder:
        """Return a decoder for one stream, in which so many choices were asked for."""
        ...
