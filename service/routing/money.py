"""What calls cost, in integers of nano-dollars: no float is ever money. Pure."""

from __future__ import annotations

from decimal import ROUND_HALF_EVEN, Decimal

from llmbase.v1.chat_completion_pb2 import ChatCompletionRequest, Usage

from service.config import ModelConfig, PricingConfig, TargetConfig
from service.money import from_dollars
from service.providers import estimate

_NANO = 1_000_000_000
_MILLION = 1_000_000
_USUAL_ANSWER = 4096  # tokens of an answer that nothing bounds


def cost(pricing: PricingConfig, usage: Usage) -> int:
    """Return what a usage costs; the prices are exact, the sum is rounded once."""
    cached = usage.cached_tokens
    read = pricing.prompt if pricing.input_cache_read is None else pricing.input_cache_read
    dollars = (
        Decimal(pricing.prompt) * (usage.prompt_tokens - cached)
        + Decimal(read) * cached
        + Decimal(pricing.completion) * usage.completion_tokens
    )
    return int((dollars * _NANO).to_integral_value(ROUND_HALF_EVEN))


def charge(requested: ModelConfig, served: ModelConfig, usage: Usage) -> int | None:
    """Return what a caller pays: the cheaper of two models' prices; None where none is known.

    A fallback is our doing: nobody pays more for it than for what was asked for.
    """
    prices = [requested.pricing]
    if served is not requested:
        prices.append(served.pricing)
    return min((cost(it, usage) for it in prices if it is not None), default=None)


def worst_case(pricing: PricingConfig, model: ModelConfig, request: ChatCompletionRequest) -> int:
    """Return what the request can cost at most, by our estimate of its prompt."""
    answer = request.max_tokens or model.max_output_length or _USUAL_ANSWER
    usage = Usage(
        prompt_tokens=estimate.prompt_tokens(request),
        completion_tokens=answer * (request.n or 1),
    )
    return cost(pricing, usage)


def rate(model: ModelConfig, target: TargetConfig) -> int | None:
    """Return a target's price for a million prompt and a million completion tokens."""
    pricing = target.pricing or model.pricing
    if pricing is None:
        return None
    return from_dollars(str((Decimal(pricing.prompt) + Decimal(pricing.completion)) * _MILLION))
