"""Azure OpenAI: OpenAI's wire format under Azure's URLs.

Three forms of URL. With an `api_version`, the model is a deployment and part of the path; without,
it is the newer form, where it is in the body as anywhere else. A base URL that ends in `/models`
(Azure AI Foundry) or `/v1` is taken as it is.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from urllib.parse import quote

from llmbase.v1.chat_completion_pb2 import ChatCompletion, ChatCompletionRequest

from service.providers.dialects.dialect import Framer, HttpRequest, StreamDecoder
from service.providers.dialects.openai import OpenAiDialect
from service.providers.dialects.openai_spelling import Spelling
from service.providers.dialects.unknown import OnUnknown, unheard
from service.providers.http_faults import Verdict
from service.providers.seen import Seen

# The first version that knows `stream_options`; earlier ones refuse it.
_KNOWS_STREAM_OPTIONS = "2024-09-01"


class AzureDialect:
    """`base_path` is the path of the configured base URL, which says which form of URL it is."""

    name = "azure"
    takes_image_urls = True

    def __init__(
        self,
        api_version: str | None,
        spelling: Spelling,
        base_path: str = "",
        *,
        on_unknown: OnUnknown = unheard,
    ) -> None:
        if api_version is not None and api_version[:10] < _KNOWS_STREAM_OPTIONS:
            spelling = replace(spelling, asks_for_usage=False)
        self._version = api_version
        self._whole = base_path.rstrip("/").endswith(("/models", "/v1"))
        spelling = replace(
            spelling,
            max_tokens="max_completion_tokens",
            reasoning="",
            unsupported=frozenset({"chat_template_kwargs"}),  # refused, as all that is unknown
            openai_models=True,
            additions=False,
        )
        self._openai = OpenAiDialect(spelling, on_unknown=on_unknown)

    def encode(
        self, request: ChatCompletionRequest, model: str, *, stream: bool, seen: Seen | None = None
    ) -> HttpRequest:
        """Translate a checked request; `model` is the deployment's name."""
        http = self._openai.encode(request, model, stream=stream, seen=seen)
        path = http.path if self._whole else f"/openai/v1{http.path}"
        if self._version is not None:
            if not self._whole:
                path = f"/openai/deployments/{quote(model, safe='')}{http.path}"
            path += f"?api-version={quote(self._version, safe='')}"
        http.path = path
        return http

    def decode(self, body: bytes) -> ChatCompletion:
        """Translate a whole answer. Raises ProviderFault for anything that is not one."""
        return self._openai.decode(body)

    def decode_error(self, status: int, body: bytes) -> str:
        """Return the provider's own message in an HTTP error body."""
        return self._openai.decode_error(status, body)

    def judge_error(self, status: int, headers: Mapping[str, str], body: bytes) -> Verdict:
        """Return the status to go by; documented words can correct one that blames the request."""
        return self._openai.judge_error(status, headers, body)

    def framer(self) -> Framer:
        """Return a framer for one stream."""
        return self._openai.framer()

    def decode_stream(self, choices: int = 1) -> StreamDecoder:
        """Return a decoder for one stream."""
        return self._openai.decode_stream(choices)
