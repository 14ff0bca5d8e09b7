"""The list of dialects: a provider's `dialect` in the configuration is a name in it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Literal

from service.config import ProviderConfig
from service.providers.dialects.dialect import Dialect
from service.providers.dialects.embedded import EmbeddedDialect
from service.providers.dialects.openai import OpenAiDialect


@dataclass(frozen=True, slots=True)
class DialectSpec:
    """A dialect, and what is usual at its provider.

    `base_url` is what the provider's own SDK calls so, with `{region}` or `{place}` in it where
    the configuration says which; None where there is none. `key_header` is the header the API key
    goes in and what stands before it. `tokens` names the credentials where no API key is given.
    `key_variable` is the environment variable the provider's own documentation uses.
    """

    build: Callable[[ProviderConfig], Dialect]
    base_url: str | None = None
    key_header: tuple[str, str] = ("Authorization", "Bearer ")
    tokens: Literal["aws", "google", "azure"] | None = None
    key_variable: str | None = None


def _openai(config: ProviderConfig) -> Dialect:
    if config.base_url is not None:
        return OpenAiDialect(extra_body=config.extra_body)
    # OpenAI's reasoning models take no `max_tokens`, and nothing there takes reasoning back.
    return OpenAiDialect(
        max_tokens_field="max_completion_tokens",
        reasoning_field="",
        developer_role="developer",
        extra_body=config.extra_body,
    )


def _embedded(config: ProviderConfig) -> Dialect:
    return EmbeddedDialect(OpenAiDialect(extra_body=config.extra_body))


DIALECTS: Mapping[str, DialectSpec] = {
    "openai": DialectSpec(_openai, "https://api.openai.com/v1", key_variable="OPENAI_API_KEY"),
    "embedded": DialectSpec(_embedded),
}
