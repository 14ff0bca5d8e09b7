"""Where providers that speak OpenAI's language differ in what they take: data, no code."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any


@dataclass(frozen=True, slots=True)
class Spelling:
    """Where compatible providers differ in what they take.

    `max_tokens` and `seed` are the names of those fields, `required` the word for a tool choice
    that demands a call. `reasoning` is the field in which an earlier answer's reasoning goes back,
    "" for none. `developer` is the role that stands for developer. `unsupported` are fields that
    the provider refuses or does nothing about: they are left out. `openai_models` says whether
    models are OpenAI's own, whose names tell what else is refused. `asks_for_usage` says whether
    usage in streams has to be asked for; `prefix` whether an assistant's message that is to be
    continued has to be marked; `call_id` makes ids of calls that the provider takes. `extra_body`
    is added to every body; the request's own fields win. `additions` is whether messages may hold
    what OpenAI's do not, such as opaque state; `refusals` and `names` whether they may hold these
    (the name of a tool may stay). `parameters` is what a function without any is said to take,
    None for nothing. `most_temperature` is the highest that is taken. `signed_seeds` is whether a
    seed may be negative.
    """

    max_tokens: str = "max_tokens"
    reasoning: str = "reasoning_content"
    developer: str = "system"
    seed: str = "seed"
    required: str = "required"
    unsupported: frozenset[str] = frozenset()
    openai_models: bool = False
    asks_for_usage: bool = True
    prefix: bool = False
    call_id: Callable[[str], str] = str
    additions: bool = True
    refusals: bool = True
    names: bool = True
    parameters: str | None = None
    most_temperature: float | None = None
    signed_seeds: bool = True
    extra_body: Mapping[str, Any] = field(default_factory=dict)
