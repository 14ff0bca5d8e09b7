"""What routing compares: a target's price, and what a hedged call may cost at most. Pure."""

from __future__ import annotations

from llmbase.v1.chat_completion_pb2 import ChatCompletionRequest, Usage

from service import money
from service.config import ModelConfig, PricingConfig, TargetConfig
from service.money import Nanos, prices_of
from service.providers import estimate

_MILLION = 1_000_000
_USUAL_ANSWER = 4096  # tokens of an answer that nothing bounds


def output_bound(request: ChatCompletionRequest, model: ModelConfig) -> int:
    """Return how many tokens each choice of the answer can have."""
    longest, context = model.max_output_length, model.context_length
    asked = request.max_tokens or longest or context or _USUAL_ANSWER
    return min(asked, longest or asked, context or asked)


def charge(requested: ModelConfig, served: ModelConfig, usage: Usage) -> Nanos | None:
    """Return what a caller pays: the cheaper of two models' prices; None where none is known.

    A fallback is our doing: nobody pays more for it than for what was asked for.
    """
    if served is requested:
        return None if served.pricing is None else money.cost(prices_of(served.pricing), usage)
    known = (prices_of(it.pricing) for it in (requested, served) if it.pricing is not None)
    return min((money.cost(it, usage) for it in known), default=None)


def worst_case(pricing: PricingConfig, model: ModelConfig, request: ChatCompletionRequest) -> Nanos:
    """Return what the request can cost at most, by our estimate of its prompt."""
    prompt, answer = estimate.prompt_tokens(request), output_bound(request, model)
    return money.worst_case(prices_of(pricing), prompt, answer, request.n or 1)


def rate(model: ModelConfig, target: TargetConfig) -> Nanos | None:
    """Return a target's price for a million prompt and a million completion tokens."""
    pricing = target.pricing or model.pricing
    if pricing is None:
        return None
    million = Usage(prompt_tokens=_MILLION, completion_tokens=_MILLION)
    return money.cost(prices_of(pricing), million)
