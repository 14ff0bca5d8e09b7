"""Amazon Bedrock's Converse and ConverseStream: one form for the models of many makers.

The face of the dialect. Requests are made of messages, tools and what the model's family takes
besides; whole answers, streams, opaque state and errors have a file each.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any
from urllib.parse import quote

from llmbase.v1.chat_completion_pb2 import ChatCompletion, ChatCompletionRequest
from msgspec import json

from service.providers.dialects import bedrock_answer, bedrock_error, bedrock_request
from service.providers.dialects import bedrock_facts as facts
from service.providers.dialects import bedrock_wire as wire
from service.providers.dialects.bedrock_stream import BedrockStreamDecoder
from service.providers.dialects.dialect import Framer, HttpRequest, StreamDecoder
from service.providers.dialects.unknown import OnUnknown, checked, unheard
from service.providers.framing import eventstream
from service.providers.http_faults import Verdict
from service.providers.seen import Seen


class BedrockDialect:
    """Converse and ConverseStream. `extra_body` is added to every request's body.

    Objects in it are merged key by key, and the request's own fields win: it is the place for
    `guardrailConfig`, `performanceConfig` or a model's own `additionalModelRequestFields`.
    """

    name = "bedrock"
    takes_image_urls = False

    def __init__(
        self,
        *,
        extra_body: Mapping[str, Any] | None = None,
        on_unknown: OnUnknown = unheard,
    ) -> None:
        self._extra_body = extra_body or {}
        self._on_unknown = on_unknown
        self._answers = json.Decoder(wire.Answer)
        self._events = json.Decoder(wire.StreamEvent)

    def encode(
        self, request: ChatCompletionRequest, model: str, *, stream: bool, seen: Seen | None = None
    ) -> HttpRequest:
        """Translate a checked request; `model` is a model's id, or the ARN of what serves it.

        The path is percent-encoded as it has to be signed and sent: ids hold `:`, ARNs hold `/`.
        Raises InvalidRequest for an image that this provider does not take.
        """
        body, ignored = bedrock_request.encode(request, model, self._extra_body)
        operation = "converse-stream" if stream else "converse"
        accept = "application/vnd.amazon.eventstream" if stream else "application/json"
        path = f"/model/{quote(model, safe='')}/{operation}"
        return HttpRequest(path, body, {"Accept": accept}, ignored)

    def decode(self, body: bytes) -> ChatCompletion:
        """Translate a whole answer. Raises ProviderFault for anything that is not one."""
        answer = bedrock_answer.decode(self._answers, body)
        return checked(answer, facts.knows, self._on_unknown)

    def decode_error(self, status: int, body: bytes) -> str:
        """Return the provider's own message in an HTTP error body; "" where there is none."""
        return bedrock_error.message(body)

    def judge_error(self, status: int, headers: Mapping[str, str], body: bytes) -> Verdict:
        """Return the status to go by; documented words can correct one that blames the request."""
        return bedrock_error.verdict(status, headers, body)

    def framer(self) -> Framer:
        """Return a framer for one stream."""
        return eventstream.EventStreamFramer()

    def decode_stream(self, choices: int = 1) -> StreamDecoder:
        """Return a decoder for one stream; there is one choice, however many were asked for."""
        return BedrockStreamDecoder(self._events, self._on_unknown)
