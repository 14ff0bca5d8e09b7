"""Anthropic's Messages API.

The face of the dialect; requests, whole answers, streams and errors have files of their own.
"""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Any

from llmbase.v1.chat_completion_pb2 import ChatCompletion, ChatCompletionRequest
from msgspec import json

from service.providers.dialects import (
    anthropic_answer,
    anthropic_error,
    anthropic_request,
    openai_error,
)
from service.providers.dialects import anthropic_facts as facts
from service.providers.dialects import anthropic_wire as wire
from service.providers.dialects.anthropic_stream import AnthropicStreamDecoder
from service.providers.dialects.dialect import Framer, HttpRequest, StreamDecoder
from service.providers.dialects.unknown import OnUnknown, checked, unheard
from service.providers.framing import sse
from service.providers.http_faults import Verdict
from service.providers.seen import Seen

_VERSION = "2023-06-01"  # of the API; all that has come since is additions to it


class AnthropicDialect:
    """Anthropic's Messages API, and the servers that speak it.

    `default_max_tokens` is the limit where the caller sets none (the API wants one), thinking not
    counted. `extra_body` is added to every request's body, whose own fields win.
    """

    name = "anthropic"
    takes_image_urls = True

    def __init__(
        self,
        *,
        default_max_tokens: int = 4096,
        extra_body: Mapping[str, Any] = MappingProxyType({}),
        on_unknown: OnUnknown = unheard,
    ) -> None:
        self._default_max_tokens = default_max_tokens
        self._extra_body = extra_body
        self._on_unknown = on_unknown
        self._answers = json.Decoder(wire.Answer)
        self._events = json.Decoder(wire.StreamEvent)

    def encode(
        self, request: ChatCompletionRequest, model: str, *, stream: bool, seen: Seen | None = None
    ) -> HttpRequest:
        """Translate a checked request; `model` is the provider's own name for it.

        Raises InvalidRequest for an image that the API cannot take.
        """
        body, ignored = anthropic_request.encode(
            request, model, self._default_max_tokens, self._extra_body, stream=stream
        )
        headers = {
            "Accept": "text/event-stream" if stream else "application/json",
            "anthropic-version": _VERSION,
        }
        return HttpRequest("/v1/messages", body, headers, ignored)

    def decode(self, body: bytes) -> ChatCompletion:
        """Translate a whole answer. Raises ProviderFault for anything that is not one."""
        answer = anthropic_answer.decode(self._answers, body, self._on_unknown)
        return checked(answer, facts.knows, self._on_unknown)

    def decode_error(self, status: int, body: bytes) -> str:
        """Return the provider's own message in an HTTP error body; "" where there is none."""
        return openai_error.message(body)

    def judge_error(self, status: int, headers: Mapping[str, str], body: bytes) -> Verdict:
        """Return the status to go by; documented words can correct one that blames the request."""
        return anthropic_error.verdict(status, body)

    def framer(self) -> Framer:
        """Return a framer for one stream."""
        return sse.SseFramer()

    def decode_stream(self, choices: int = 1) -> StreamDecoder:
        """Return a decoder for one stream; the API knows one choice only."""
        return AnthropicStreamDecoder(self._events, self._on_unknown)
