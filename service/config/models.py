"""What can be set of a public model: who can answer for it, and what it can do."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from service.config.values import Feature, Frozen, Name, Price


class PricingConfig(Frozen):
    """US dollars per token, as decimals in quotes."""

    prompt: Price
    completion: Price
    input_cache_read: Price | None = Field(default=None, description="Default: as `prompt`.")
    input_cache_write: Price | None = Field(default=None, description="Default: as `prompt`.")
    reasoning: Price | None = Field(default=None, description="Default: as `completion`.")


class TargetConfig(Frozen):
    """One way to get a model: a provider and its own name for the model."""

    provider: Name
    model: str | None = Field(
        default=None, description="Default: the model's id, or what a wildcard stands for."
    )
    weight: int = Field(
        default=1, ge=0, le=1_000_000, description="Share under `weighted`, and of sessions."
    )
    pricing: PricingConfig | None = Field(
        default=None, description="What this target costs. Default: the model's price."
    )
    max_in_flight: int | None = Field(
        default=None, ge=1, description="Attempts at a time; a full target is passed over."
    )
    continuation: bool = Field(
        default=False,
        description="Whether it goes on with a conversation that ends in an assistant's turn, so "
        "that it can take over a stream that broke.",
    )


class HedgeConfig(Frozen):
    """Asking a second target when the first is slower than it usually is."""

    enabled: bool = True
    max_extra_cost: Price | None = Field(
        default=None,
        description="Most US dollars that a hedged call may cost beside the first attempt, "
        "at worst. Default: no bound.",
    )


class ModelConfig(Frozen):
    """A public model: who can answer for it, and what it can do."""

    policy: Literal["priority", "weighted", "fastest", "cheapest"] = Field(
        default="priority", description="How targets are ordered."
    )
    affinity: bool = Field(
        default=True,
        description="Whether `weighted` and `fastest` keep a session (the request's "
        "`prompt_cache_key`, else its `user`) at one target, whose prompt cache stays warm.",
    )
    hedge: HedgeConfig | None = Field(
        default=None, description="Asking a second target when the first is slow. Default: never."
    )
    single_flight: bool = Field(
        default=False,
        description="Whether identical requests of one key that run at the same time share one "
        "answer.",
    )
    max_attempts: int | None = Field(
        default=None,
        ge=1,
        le=32,
        description="Over all targets; more than there are targets means repeats, after a pause. "
        "Default: each target once.",
    )
    parameters: Literal["strict", "warn", "drop"] = Field(
        default="warn",
        description="What becomes of a parameter that a target cannot honour: strict refuses the "
        "request, warn leaves it out and names it in the answer, drop leaves it out.",
    )
    targets: Annotated[tuple[TargetConfig, ...], Field(min_length=1)]
    fallbacks: tuple[str, ...] = Field(
        default=(), description="Models to try when all targets have failed, in order."
    )
    name: str | None = None
    description: str = ""
    created: int = Field(default=0, ge=0, description="Seconds since the Unix epoch.")
    context_length: int | None = Field(default=None, ge=1, le=2**31 - 1)
    max_output_length: int | None = Field(default=None, ge=1, le=2**31 - 1)
    input_modalities: tuple[Literal["text", "image"], ...] = ("text",)
    supported_features: tuple[Feature, ...] = ()
    supported_parameters: tuple[str, ...] = Field(
        default=(), description="Beyond the usual sampling parameters."
    )
    pricing: PricingConfig | None = None
    prompt_cache_supported: bool = False
