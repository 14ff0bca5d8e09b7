"""The list of dialects: a provider's `dialect` in the configuration is a name in it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from service.providers.dialects.dialect import Dialect
from service.providers.dialects.embedded import EmbeddedDialect
from service.providers.dialects.openai import OpenAiDialect


@dataclass(frozen=True, slots=True)
class DialectSpec:
    """A dialect by its factory.

    `base_url` is the endpoint of the dialect's own provider, None where there is none.
    `build(at_home, extra_body)` makes it: at home at that provider, or at one that follows it.
    """

    base_url: str | None
    build: Callable[[bool, Mapping[str, Any]], Dialect]


def _openai(at_home: bool, extra_body: Mapping[str, Any]) -> Dialect:
    if not at_home:
        return OpenAiDialect(extra_body=extra_body)
    # OpenAI's reasoning models take no `max_tokens`, and nothing there takes reasoning back.
    return OpenAiDialect(
        max_tokens_field="max_completion_tokens",
        reasoning_field="",
        developer_role="developer",
        extra_body=extra_body,
    )


def _embedded(_at_home: bool, extra_body: Mapping[str, Any]) -> Dialect:
    return EmbeddedDialect(OpenAiDialect(extra_body=extra_body))


DIALECTS: Mapping[str, DialectSpec] = {
    "openai": DialectSpec("https://api.openai.com/v1", _openai),
    "embedded": DialectSpec(None, _embedded),
}
