"""The list of dialects: a provider's `dialect` in the configuration is a name in it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Literal
from urllib.parse import urlsplit

from service.config import ProviderConfig
from service.providers.dialects.anthropic import AnthropicDialect
from service.providers.dialects.azure import AzureDialect
from service.providers.dialects.bedrock import BedrockDialect
from service.providers.dialects.cohere import CohereDialect
from service.providers.dialects.compatible import COMPATIBLE, OPENAI
from service.providers.dialects.dialect import Dialect
from service.providers.dialects.embedded import EmbeddedDialect
from service.providers.dialects.gemini import GeminiDialect
from service.providers.dialects.ollama import OllamaDialect
from service.providers.dialects.openai import OpenAiDialect
from service.providers.dialects.openai_spelling import Spelling
from service.providers.dialects.unknown import OnUnknown, unheard

Make = Callable[[ProviderConfig, OnUnknown], Dialect]


@dataclass(frozen=True, slots=True)
class DialectSpec:
    """A dialect, and what is usual at its provider.

    `base_url` is what the provider's own SDK calls so, with `{region}` or `{vertex_host}` in it
    where the configuration says which; None where there is none. `key_header` is the header the
    API key goes in and what stands before it. `make` is None where nothing is translated: another
    llmbase speaks our own proto, over gRPC. `tokens` names the credentials where no API key is
    given. `key_variable` is the environment variable the provider's own documentation uses.
    """

    make: Make | None
    base_url: str | None = None
    key_header: tuple[str, str] = ("Authorization", "Bearer ")
    tokens: Literal["aws", "google", "azure"] | None = None
    key_variable: str | None = None

    def build(self, config: ProviderConfig, on_unknown: OnUnknown = unheard) -> Dialect:
        """Return the dialect as it is configured; it reports what it does not know.

        Not to be called where nothing is translated.
        """
        assert self.make is not None  # noqa: S101 - the caller knows
        return self.make(config, on_unknown)


def _openai(config: ProviderConfig, on_unknown: OnUnknown) -> Dialect:
    at_home = config.base_url is None
    spelling = OPENAI if at_home else Spelling()
    spelling = replace(spelling, extra_body=config.extra_body)
    return OpenAiDialect(spelling, on_unknown=on_unknown)


def _embedded(config: ProviderConfig, on_unknown: OnUnknown) -> Dialect:
    spelling = Spelling(extra_body=config.extra_body)
    return EmbeddedDialect(OpenAiDialect(spelling, on_unknown=on_unknown))


def _azure(config: ProviderConfig, on_unknown: OnUnknown) -> Dialect:
    path = urlsplit(config.base_url or "").path
    spelling = Spelling(extra_body=config.extra_body)
    return AzureDialect(config.api_version, spelling, path, on_unknown=on_unknown)


def _compatible(spelling: Spelling) -> Make:
    def make(config: ProviderConfig, on_unknown: OnUnknown) -> Dialect:
        extra_body = {**spelling.extra_body, **config.extra_body}
        return OpenAiDialect(replace(spelling, extra_body=extra_body), on_unknown=on_unknown)

    return make


DIALECTS: Mapping[str, DialectSpec] = {
    "openai": DialectSpec(_openai, "https://api.openai.com/v1", key_variable="OPENAI_API_KEY"),
    "embedded": DialectSpec(_embedded),
    "llmbase": DialectSpec(None, key_variable="LLMBASE_API_KEY"),
    "anthropic": DialectSpec(
        lambda config, on_unknown: AnthropicDialect(
            extra_body=config.extra_body, on_unknown=on_unknown
        ),
        "https://api.anthropic.com",
        key_header=("x-api-key", ""),
        key_variable="ANTHROPIC_API_KEY",
    ),
    "azure": DialectSpec(
        _azure,
        key_header=("api-key", ""),
        tokens="azure",
        key_variable="AZURE_OPENAI_API_KEY",
    ),
    "bedrock": DialectSpec(
        lambda config, on_unknown: BedrockDialect(
            extra_body=config.extra_body, on_unknown=on_unknown
        ),
        "https://bedrock-runtime.{region}.amazonaws.com",
        tokens="aws",
        key_variable="AWS_BEARER_TOKEN_BEDROCK",
    ),
    "cohere": DialectSpec(
        lambda config, on_unknown: CohereDialect(
            extra_body=config.extra_body, on_unknown=on_unknown
        ),
        "https://api.cohere.com",
        key_variable="CO_API_KEY",
    ),
    "ollama": DialectSpec(
        lambda config, on_unknown: OllamaDialect(
            num_ctx=config.context_length, extra_body=config.extra_body, on_unknown=on_unknown
        ),
        "http://localhost:11434",
        key_variable="OLLAMA_API_KEY",
    ),
    "gemini": DialectSpec(
        lambda config, on_unknown: GeminiDialect(
            extra_body=config.extra_body, on_unknown=on_unknown
        ),
        "https://generativelanguage.googleapis.com",
        key_header=("x-goog-api-key", ""),
        key_variable="GEMINI_API_KEY",
    ),
    "vertex": DialectSpec(
        lambda config, on_unknown: GeminiDialect(
            vertex=True,
            project=config.project or "",
            location=config.location,
            extra_body=config.extra_body,
            on_unknown=on_unknown,
        ),
        "https://{vertex_host}",
        key_header=("x-goog-api-key", ""),
        tokens="google",
        key_variable="GOOGLE_API_KEY",
    ),
} | {
    row.name: DialectSpec(_compatible(row.spelling), row.base_url, key_variable=row.key_variable)
    for row in COMPATIBLE
}
