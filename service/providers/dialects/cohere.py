"""Cohere's chat API, version 2.

The face of the dialect; requests, whole answers and streams have files of their own.
"""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Any

from llmbase.v1.chat_completion_pb2 import ChatCompletion, ChatCompletionRequest
from msgspec import json

from service.providers.dialects import cohere_answer, cohere_request, openai_error
from service.providers.dialects import cohere_facts as facts
from service.providers.dialects import cohere_wire as wire
from service.providers.dialects.cohere_stream import CohereStreamDecoder
from service.providers.dialects.dialect import Framer, HttpRequest, StreamDecoder
from service.providers.dialects.unknown import OnUnknown, checked, unheard
from service.providers.framing import sse
from service.providers.http_faults import Verdict
from service.providers.seen import Seen


class CohereDialect:
    """Cohere's chat API, version 2.

    `extra_body` is added to every request's body, whose own fields win.
    """

    name = "cohere"
    takes_image_urls = True

    def __init__(
        self,
        *,
        extra_body: Mapping[str, Any] = MappingProxyType({}),
        on_unknown: OnUnknown = unheard,
    ) -> None:
        self._extra_body = extra_body
        self._on_unknown = on_unknown
        self._answers = json.Decoder(wire.Answer)
        self._events = json.Decoder(wire.StreamEvent)

    def encode(
        self, request: ChatCompletionRequest, model: str, *, stream: bool, seen: Seen | None = None
    ) -> HttpRequest:
        """Translate a checked request; `model` is the provider's own name for it."""
        return HttpRequest(
            "/v2/chat",
            cohere_request.encode(request, model, self._extra_body, stream=stream),
            {"Accept": "text/event-stream" if stream else "application/json"},
            tuple(cohere_request.ignored(request)),
        )

    def decode(self, body: bytes) -> ChatCompletion:
        """Translate a whole answer. Raises ProviderFault for anything that is not one."""
        answer = cohere_answer.decode(self._answers, body)
        return checked(answer, facts.knows, self._on_unknown)

    def decode_error(self, status: int, body: bytes) -> str:
        """Return the provider's own message in an HTTP error body; "" where there is none."""
        return openai_error.message(body)

    def judge_error(self, status: int, headers: Mapping[str, str], body: bytes) -> Verdict:
        """Return the status to go by; documented words can correct one that blames the request."""
        return openai_error.verdict(status, body)

    def framer(self) -> Framer:
        """Return a framer for one stream."""
        return sse.SseFramer()

    def decode_stream(self, choices: int = 1) -> StreamDecoder:
        """Return a decoder for one stream, which has one choice whatever was asked for."""
        return CohereStreamDecoder(self._events, self._on_unknown)
