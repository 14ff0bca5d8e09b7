"""Ollama's own chat API (`/api/chat`), which streams lines of JSON.

The face of the dialect; requests, whole answers and streams have files of their own.
"""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Any

from llmbase.v1.chat_completion_pb2 import ChatCompletion, ChatCompletionRequest
from msgspec import json

from service.providers.dialects import ollama_answer, ollama_request, openai_error
from service.providers.dialects import ollama_facts as facts
from service.providers.dialects import ollama_wire as wire
from service.providers.dialects.dialect import Framer, HttpRequest, StreamDecoder
from service.providers.dialects.ollama_stream import OllamaStreamDecoder
from service.providers.dialects.unknown import OnUnknown, checked, unheard
from service.providers.framing import ndjson
from service.providers.http_faults import Verdict
from service.providers.seen import Seen


class OllamaDialect:
    """Ollama's own chat API.

    `num_ctx` is the length of the context in tokens, None for the server's default, which is small.
    `extra_body` is added to every request's body (its `options` to the body's), whose own fields
    win; a conversation too long for the context is refused unless it says `truncate` and `shift`.
    """

    name = "ollama"
    takes_image_urls = False

    def __init__(
        self,
        *,
        num_ctx: int | None = None,
        extra_body: Mapping[str, Any] = MappingProxyType({}),
        on_unknown: OnUnknown = unheard,
    ) -> None:
        self._num_ctx = num_ctx
        self._extra_body = extra_body
        self._on_unknown = on_unknown
        self._decoder = json.Decoder(wire.Answer)

    def encode(
        self, request: ChatCompletionRequest, model: str, *, stream: bool, seen: Seen | None = None
    ) -> HttpRequest:
        """Translate a checked request; `model` is the provider's own name for it.

        Raises InvalidRequest for an image that does not come in bytes.
        """
        return HttpRequest(
            "/api/chat",
            ollama_request.encode(request, model, self._num_ctx, self._extra_body, stream=stream),
            {"Accept": "application/x-ndjson" if stream else "application/json"},
            tuple(ollama_request.ignored(request, model)),
        )

    def decode(self, body: bytes) -> ChatCompletion:
        """Translate a whole answer. Raises ProviderFault for anything that is not one."""
        answer = ollama_answer.decode(self._decoder, body)
        return checked(answer, facts.knows, self._on_unknown)

    def decode_error(self, status: int, body: bytes) -> str:
        """Return the provider's own message in an HTTP error body; "" where there is none."""
        return openai_error.message(body)

    def judge_error(self, status: int, headers: Mapping[str, str], body: bytes) -> Verdict:
        """Return the status to go by; documented words can correct one that blames the request."""
        return openai_error.verdict(status, body)

    def framer(self) -> Framer:
        """Return a framer for one stream."""
        return ndjson.NdjsonFramer()

    def decode_stream(self, choices: int = 1) -> StreamDecoder:
        """Return a decoder for one stream, which has one choice whatever was asked for."""
        return OllamaStreamDecoder(self._decoder, self._on_unknown)
