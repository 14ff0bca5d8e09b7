"""What routing knows of a provider: that it can be asked, whole or streamed, over whatever wire."""

from __future__ import annotations

from typing import Any, Protocol, TypeVar

from llmbase.v1.chat_completion_pb2 import (
    ChatCompletion,
    ChatCompletionChunk,
    ChatCompletionRequest,
    RouteFacts,
)

from service.providers.call import Call
from telemetry.tracing import Attributes

NO_FACTS: Attributes = {}


class Encoded(Protocol):
    """A request as a provider would send it; what else it holds is the provider's own affair."""

    @property
    def ignored(self) -> tuple[str, ...]:
        """The request's fields (as REST calls them) that would be left out."""
        ...


class AnswerStream(Protocol):
    """A streamed answer whose first content has arrived. Whoever holds it closes it.

    `characters` counts the answer's text so far. `route` is what the other side says of its own
    route to the answer; None where there is no such thing.
    """

    characters: int

    @property
    def route(self) -> RouteFacts | None: ...  # noqa: D102

    async def read(self) -> ChatCompletionChunk | None:
        """Return the next chunk, None after the last. Raises ProviderFault, DeadlineExceeded."""
        ...

    def close(self) -> None:
        """Give the answer up; at once, if it is not over."""
        ...


class Images(Protocol):
    """What fetches images for providers that do not fetch them themselves."""

    async def inline(self, request: ChatCompletionRequest) -> ChatCompletionRequest:
        """Return the request, or a copy in which its images are bytes. Raises InvalidRequest."""
        ...


E = TypeVar("E", bound=Encoded)


class Provider(Protocol[E]):
    """An endpoint that answers. Safe for concurrent use."""

    @property
    def name(self) -> str: ...  # noqa: D102

    @property
    def facts(self) -> Attributes:
        """What a span of an attempt says of it: whose API it is, and where."""
        ...

    @property
    def images(self) -> Images | None:
        """Who has to inline a request's images before it is encoded; None: they may be URLs."""
        ...

    def encode(self, request: ChatCompletionRequest, model: str, call: Call, *, stream: bool) -> E:
        """Return what would be sent to ask `model`, the provider's own name for it.

        Raises InvalidRequest for what this provider cannot be asked at all.
        """
        ...

    async def complete(self, encoded: E, call: Call) -> ChatCompletion:
        """Return the whole answer; its `route`, if any, is the other side's.

        Raises ProviderFault, DeadlineExceeded.
        """
        ...

    async def stream(self, encoded: E, choices: int, call: Call) -> AnswerStream:
        """Return a stream of so many choices whose first content has arrived.

        Raises ProviderFault, DeadlineExceeded.
        """
        ...

    def redact(self, told: str) -> str:
        """Return a message of the provider as it may be passed on to the caller."""
        ...

    async def close(self) -> None:
        """Close the connections."""
        ...


AnyProvider = Provider[Any]  # for those who only hand back what they were given
