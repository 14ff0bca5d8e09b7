"""Google's generateContent, of the Gemini Developer API and of Vertex AI.

The face of the dialect; requests, whole answers and streams have files of their own.
"""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Any
from urllib.parse import quote

from llmbase.v1.chat_completion_pb2 import ChatCompletion, ChatCompletionRequest
from msgspec import json

from service.errors import InvalidRequest
from service.providers.dialects import gemini_answer, gemini_error, gemini_request, openai_error
from service.providers.dialects import gemini_wire as wire
from service.providers.dialects.dialect import Framer, HttpRequest, StreamDecoder
from service.providers.dialects.gemini_framing import GeminiFramer
from service.providers.dialects.gemini_stream import GeminiStreamDecoder
from service.providers.dialects.unknown import OnUnknown, unheard
from service.providers.http_faults import Verdict
from service.providers.seen import Seen

_DEVELOPER = "/v1beta/"
_DEVELOPER_KINDS = ("models/", "tunedModels/")
_VERTEX = "/v1/"
_VERTEX_KINDS = ("publishers/", "endpoints/", "models/")
_GOOGLES = "publishers/google/models/"


class GeminiDialect:
    """The Developer API by default; with `vertex` Vertex AI, in `project` and `location`.

    Without a project Vertex AI is addressed in express mode, where the key stands for one.
    `extra_body` is added to every request's body, object by object; the request's own fields win.
    """

    name = "gemini"
    takes_image_urls = True

    def __init__(
        self,
        *,
        vertex: bool = False,
        project: str | None = None,
        location: str = "global",
        extra_body: Mapping[str, Any] = MappingProxyType({}),
        on_unknown: OnUnknown = unheard,
    ) -> None:
        self._vertex = vertex
        self._project = project
        self._location = location
        self._extra_body = extra_body
        self._on_unknown = on_unknown
        self._decoder = json.Decoder(wire.Response)

    def encode(
        self, request: ChatCompletionRequest, model: str, *, stream: bool, seen: Seen | None = None
    ) -> HttpRequest:
        """Translate a checked request; `model` is the provider's own name for it.

        Raises InvalidRequest for a model that is no name, and for what cannot be served at all.
        """
        method = ":streamGenerateContent?alt=sse" if stream else ":generateContent"
        return HttpRequest(
            self._resource(model) + method,
            gemini_request.encode(request, model, vertex=self._vertex, extra_body=self._extra_body),
            {"Accept": "text/event-stream" if stream else "application/json"},
            tuple(gemini_request.ignored(request, model, vertex=self._vertex)),
        )

    def decode(self, body: bytes) -> ChatCompletion:
        """Translate a whole answer. Raises ProviderFault for anything that is not one."""
        return gemini_answer.decode(self._stream_decoder(), body)

    def decode_error(self, status: int, body: bytes) -> str:
        """Return the provider's own message in an HTTP error body; "" where there is none."""
        return openai_error.message(body)

    def judge_error(self, status: int, headers: Mapping[str, str], body: bytes) -> Verdict:
        """Return the status to go by; documented words can correct one that blames the request."""
        return gemini_error.verdict(status, body)

    def framer(self) -> Framer:
        """Return a framer for one stream."""
        return GeminiFramer()

    def decode_stream(self, choices: int = 1) -> StreamDecoder:
        """Return a decoder for one stream, in which so many choices were asked for."""
        return self._stream_decoder(choices)

    def _stream_decoder(self, choices: int = 1) -> GeminiStreamDecoder:
        return GeminiStreamDecoder(
            self._decoder, self._on_unknown, vertex=self._vertex, choices=choices
        )

    def _resource(self, model: str) -> str:
        """Return the model's path; a name may be a bare one or a resource's, as far as it is told.

        A name that a caller chose must not lead out of where models are.
        """
        if not all(step.strip(".") for step in model.split("/")):
            raise InvalidRequest("model", "must be the name of a model")
        if not self._vertex:
            kind = "" if model.startswith(_DEVELOPER_KINDS) else "models/"
            return _DEVELOPER + quote(kind + model, safe="/@")
        if model.startswith("projects/"):
            return _VERTEX + quote(model, safe="/@")
        if not model.startswith(_VERTEX_KINDS):
            publisher, slash, bare = model.partition("/")
            model = f"publishers/{publisher}/models/{bare}" if slash else f"{_GOOGLES}{model}"
        parent = f"projects/{self._project}/locations/{self._location}/" if self._project else ""
        return _VERTEX + quote(parent + model, safe="/@")
