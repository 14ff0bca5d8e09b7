"""What routing compares: a target's price, and what a hedged call may cost at most. Pure."""

from __future__ import annotations

from llmbase.v1.chat_completion_pb2 import ChatCompletionRequest, Usage

from service import money
from service.config import ModelConfig, PricingConfig
from service.money import Nanos, Prices, prices_of
from service.providers import estimate

_MILLION = 1_000_000
_USUAL_ANSWER = 4096  # tokens of an answer that nothing bounds


def output_bound(request: ChatCompletionRequest, model: ModelConfig) -> int:
    """Return how many tokens each choice of the answer can have."""
    longest, context = model.max_output_length, model.context_length
    asked = request.max_tokens or longest or context or _USUAL_ANSWER
    return min(asked, longest or asked, context or asked)


def prices(pricing: PricingConfig | None) -> Prices | None:
    """Return the prices as integers, as far as there are any."""
    return None if pricing is None else prices_of(pricing)


def charge(requested: Prices | None, served: Prices | None, usage: Usage) -> Nanos | None:
    """Return what a caller pays: the cheaper by two models' prices; None where none is known.

    A fallback is our doing: nobody pays more for it than for what was asked for.
    """
    if requested is None or served is None or requested is served:
        known = requested or served
        return None if known is None else money.cost(known, usage)
    return min(money.cost(requested, usage), money.cost(served, usage))


def worst_case(target: Prices, model: ModelConfig, request: ChatCompletionRequest) -> Nanos:
    """Return what the request can cost at most, by our estimate of its prompt."""
    prompt, answer = estimate.prompt_tokens(request), output_bound(request, model)
    return money.worst_case(target, prompt, answer, request.n or 1)


def rate(target: Prices | None) -> Nanos | None:
    """Return a target's price for a million prompt and a million completion tokens."""
    if target is None:
        return None
    return money.cost(target, Usage(prompt_tokens=_MILLION, completion_tokens=_MILLION))
