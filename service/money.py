"""Money: integers of nano-dollars, and no float anywhere. Pure.

Prices are integers of 10^-18 dollars a token, as exact as the configuration can write them; what a
call costs is their exact sum, rounded once.
"""

from __future__ import annotations

from decimal import Decimal, InvalidOperation
from functools import lru_cache
from operator import mul
from typing import NamedTuple, NewType, TypeAlias

from llmbase.v1.chat_completion_pb2 import Usage

from service.config import PricingConfig

Nanos = NewType("Nanos", int)
Attos = NewType("Attos", int)  # 10^-18 dollars

MOST = Nanos(2**63 - 1)  # that a column of the store can hold: nine billion dollars

_NANO = 10**9
_ATTO = 10**18
_ATTOS_PER_NANO = 10**9


class Prices(NamedTuple):
    """What a token of each class costs. The classes do not overlap."""

    prompt: Attos
    cache_read: Attos
    cache_write: Attos
    completion: Attos
    reasoning: Attos


TOKEN_CLASSES = ("input", "cache_read", "cache_write", "output", "reasoning")
Tokens: TypeAlias = tuple[int, int, int, int, int]  # of each class, as their prices are ordered


def from_dollars(dollars: str) -> Nanos:
    """Return an amount of US dollars, written as a decimal, in nano-dollars; halves go to even.

    Raises ValueError for what is no amount, or more than the store can hold.
    """
    return Nanos(_scaled(dollars, _NANO))


def to_decimal_text(nanos: Nanos) -> str:
    """Return an amount in US dollars, exact: nine decimals."""
    dollars, rest = divmod(abs(nanos), _NANO)
    return f"{'-' if nanos < 0 else ''}{dollars}.{rest:09d}"


@lru_cache(maxsize=4096)
def prices_of(pricing: PricingConfig) -> Prices:
    """Return the prices as integers; a class without one of its own costs what its whole costs."""
    read, write, reasoning = (
        pricing.input_cache_read,
        pricing.input_cache_write,
        pricing.reasoning,
    )
    return Prices(
        _attos(pricing.prompt),
        _attos(pricing.prompt if read is None else read),
        _attos(pricing.prompt if write is None else write),
        _attos(pricing.completion),
        _attos(pricing.completion if reasoning is None else reasoning),
    )


def cost(prices: Prices, usage: Usage) -> Nanos:
    """Return what a usage costs."""
    return _nanos(sum(map(mul, prices, tokens_of(usage))))


def tokens_of(usage: Usage) -> Tokens:
    """Return the tokens of a usage by their classes, which do not overlap.

    What the provider bills counts, where that is not what it has read and written. A part is never
    more than its whole, whatever the provider said: no class is below zero.
    """
    prompt, completion = billed(usage)
    if prompt < 0 or completion < 0:
        prompt, completion = max(prompt, 0), max(completion, 0)
    read, write, reasoning = usage.cached_tokens, usage.cache_write_tokens, usage.reasoning_tokens
    if not (read or write or reasoning):
        return prompt, 0, 0, completion, 0
    read = min(max(read, 0), prompt)
    write = min(max(write, 0), prompt - read)
    reasoning = min(max(reasoning, 0), completion)
    return prompt - read - write, read, write, completion - reasoning, reasoning


def billed(usage: Usage) -> tuple[int, int]:
    """Return the tokens of the prompt, and of the answer, that are paid for."""
    prompt, completion = usage.prompt_tokens, usage.completion_tokens
    if usage.HasField("billed_prompt_tokens"):
        prompt = usage.billed_prompt_tokens
    if usage.HasField("billed_completion_tokens"):
        completion = usage.billed_completion_tokens
    return prompt, completion


def worst_case(prices: Prices, input_bound: int, output_bound: int, n: int = 1) -> Nanos:
    """Return the most that so many tokens can cost, whatever their classes turn out to be.

    `output_bound` is that of each of `n` choices.
    """
    dearest_input = max(prices.prompt, prices.cache_read, prices.cache_write)
    dearest_output = max(prices.completion, prices.reasoning)
    return _nanos(dearest_input * input_bound + dearest_output * output_bound * n)


def output_tokens(prices: Prices, amount: Nanos) -> int:
    """Return how many tokens of output an amount pays for; their price must not be zero."""
    return max(amount, 0) * _ATTOS_PER_NANO // prices.completion


def _attos(price: str) -> Attos:
    return Attos(_scaled(price, _ATTO))


def _nanos(attos: int) -> Nanos:
    return Nanos(_rounded(attos, _ATTOS_PER_NANO))


def _scaled(text: str, scale: int) -> int:
    try:
        amount = Decimal(text)
    except InvalidOperation:
        raise ValueError("must be a decimal") from None
    if not amount.is_finite() or not -100 < amount.adjusted() < 10 or len(text) > 100:
        raise ValueError("must be a decimal of at most ten digits before its point")
    whole, part = amount.as_integer_ratio()  # exact, unlike a product of decimals
    return _rounded(whole * scale, part)


def _rounded(value: int, unit: int) -> int:
    """Return value / unit, a half to the even neighbour."""
    whole, rest = divmod(value, unit)
    return whole + (rest * 2 > unit or (rest * 2 == unit and whole % 2))
