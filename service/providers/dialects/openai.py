"""OpenAI's chat completions, and the many providers and servers that speak nearly the same.

The face of the dialect; requests, whole answers, streams and errors have a file each.
"""

from __future__ import annotations

from collections.abc import Mapping

from llmbase.v1.chat_completion_pb2 import ChatCompletion, ChatCompletionRequest
from msgspec import json

from service.providers.dialects import openai_answer, openai_error, openai_request
from service.providers.dialects import openai_wire as wire
from service.providers.dialects.dialect import Framer, HttpRequest, StreamDecoder
from service.providers.dialects.openai_spelling import Spelling
from service.providers.dialects.openai_stream import OpenAiStreamDecoder
from service.providers.dialects.unknown import OnUnknown, unheard
from service.providers.framing import sse
from service.providers.http_faults import Verdict
from service.providers.seen import Seen, look

_COMPATIBLE = Spelling()


class OpenAiDialect:
    """OpenAI's chat completions. The default spelling suits compatible providers, not OpenAI."""

    name = "openai"
    takes_image_urls = True

    def __init__(
        self, spelling: Spelling = _COMPATIBLE, *, on_unknown: OnUnknown = unheard
    ) -> None:
        self._spelling = spelling
        self._on_unknown = on_unknown
        self._decoder = json.Decoder(wire.Answer)

    def encode(
        self, request: ChatCompletionRequest, model: str, *, stream: bool, seen: Seen | None = None
    ) -> HttpRequest:
        """Translate a checked request; `model` is the provider's own name for it."""
        seen = look(request, seen)
        body, ignored = openai_request.encode(seen, model, self._spelling, stream=stream)
        accept = "text/event-stream" if stream else "application/json"
        return HttpRequest("/chat/completions", body, {"Accept": accept}, ignored)

    def decode(self, body: bytes) -> ChatCompletion:
        """Translate a whole answer. Raises ProviderFault for anything that is not one."""
        return openai_answer.decode(self._decoder, body, self._on_unknown)

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
        """Return a decoder for one stream, in which so many choices were asked for."""
        return OpenAiStreamDecoder(self._decoder, self._on_unknown, choices)
