"""Money is exact: held against `Decimal`, which does it in another way."""

from __future__ import annotations

import ast
import random
from decimal import ROUND_HALF_EVEN, Context, Decimal
from pathlib import Path

import pytest
from llmbase.v1.chat_completion_pb2 import Usage

from service.config import PricingConfig
from service.money import Nanos, cost, from_dollars, prices_of, to_decimal_text, worst_case

ROOT = Path(__file__).parents[3]
EXACT = Context(prec=200, rounding=ROUND_HALF_EVEN)


def test_ten_thousand_usages_cost_what_decimal_says_to_the_nano() -> None:
    chance = random.Random(20261126)
    for _ in range(10_000):
        pricing, usage = _pricing(chance), _usage(chance)
        assert cost(prices_of(pricing), usage) == _oracle(pricing, usage), (pricing, usage)


def test_no_usage_costs_more_than_the_worst_case_of_its_bounds() -> None:
    chance = random.Random(4)
    for _ in range(2_000):
        prices, usage = prices_of(_pricing(chance)), _usage(chance)
        most = worst_case(prices, usage.prompt_tokens, usage.completion_tokens)
        assert cost(prices, usage) <= most
    prices = prices_of(PricingConfig(prompt="1", completion="2", reasoning="3"))
    assert worst_case(prices, 10, 5, n=4) == (10 * 1 + 5 * 3 * 4) * 10**9


def test_a_half_goes_to_the_even_neighbour() -> None:
    def one(price: str) -> Nanos:
        return cost(prices_of(PricingConfig(prompt=price, completion="0")), Usage(prompt_tokens=1))

    assert one("0.0000000005") == 0
    assert one("0.0000000015") == 2
    assert one("0.0000000025") == 2
    assert one("0.000000000500000001") == 1
    assert one("0.000000001499999999") == 1


def test_a_part_that_is_said_to_be_larger_than_its_whole_is_the_whole() -> None:
    pricing = PricingConfig(
        prompt="1", completion="1", input_cache_read="2", input_cache_write="3", reasoning="5"
    )
    usage = Usage(
        prompt_tokens=10,
        cached_tokens=8,
        cache_write_tokens=9,
        completion_tokens=4,
        reasoning_tokens=100,
    )
    assert cost(prices_of(pricing), usage) == (8 * 2 + 2 * 3 + 4 * 5) * 10**9
    assert cost(prices_of(pricing), Usage(prompt_tokens=-5, cached_tokens=-7)) == 0


def test_a_class_without_a_price_costs_what_its_whole_costs() -> None:
    prices = prices_of(PricingConfig(prompt="0.1", completion="0.2"))
    assert prices.cache_read == prices.cache_write == prices.prompt == 10**17
    assert prices.reasoning == prices.completion == 2 * 10**17
    assert prices_of(PricingConfig(prompt="1", completion="1", input_cache_read="0"))[1] == 0


@pytest.mark.parametrize(
    ("nanos", "text"),
    [
        (0, "0.000000000"),
        (1, "0.000000001"),
        (-1, "-0.000000001"),
        (12_345_678_900, "12.345678900"),
        (-12_345_678_900, "-12.345678900"),
        (2**63 - 1, "9223372036.854775807"),
    ],
)
def test_an_amount_is_written_with_all_its_nanos_and_read_back(nanos: int, text: str) -> None:
    assert to_decimal_text(Nanos(nanos)) == text
    assert from_dollars(text) == nanos


def test_dollars_with_more_digits_than_a_decimals_context_has_are_exact() -> None:
    assert from_dollars("999999.123456789499999999") == 999_999_123_456_789
    assert from_dollars("999999.123456788500000000") == 999_999_123_456_788
    assert from_dollars("999999.123456788500000001") == 999_999_123_456_789


@pytest.mark.parametrize("text", ["nan", "inf", "-Infinity", "1e400", "1e-400", "1" * 11, "x", ""])
def test_what_is_no_amount_is_refused(text: str) -> None:
    with pytest.raises(ValueError):
        from_dollars(text)


MONEY_FILES = sorted(
    [
        ROOT / "service" / "money.py",
        ROOT / "service" / "routing" / "money.py",
        ROOT / "gateway" / "balance.py",
        *(ROOT / "service" / "accounts").glob("*.py"),
    ]
)
# How long is waited, and how often in a minute, is no money: these files have no amounts.
NO_AMOUNTS = {
    *("cache", "directory", "freshness"),
    *(
        "limiters",
        "limits",
        "local_limits",
        "shared_connection",
        "shared_limits",
        "shared_line",
        "shared_scripts",
    ),
}
# Files with amounts that wait, too: these may name seconds, and nothing else of a float.
SECONDS = {"ledger", "reserving"}


@pytest.mark.parametrize("path", MONEY_FILES, ids=lambda path: path.stem)
def test_no_float_reaches_money(path: Path) -> None:
    if path.stem in NO_AMOUNTS:
        return
    tree = ast.parse(path.read_text(encoding="utf-8"))
    seconds = {id(it.value) for it in ast.walk(tree) if _names_seconds(it)}
    if path.stem in SECONDS:
        seconds |= {id(node.value) for node in tree.body if isinstance(node, ast.Assign)}
    for node in ast.walk(tree):
        at = f"{path.name}:{getattr(node, 'lineno', 0)}"
        if isinstance(node, ast.Constant) and id(node) not in seconds:
            assert not isinstance(node.value, float | complex), at
        if isinstance(node, ast.BinOp | ast.AugAssign):
            assert not isinstance(node.op, ast.Div) or _is_path(node), at
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name):
            assert node.func.id not in ("float", "round", "complex"), at


def _names_seconds(node: ast.AST) -> bool:
    return isinstance(node, ast.keyword) and node.arg in ("retry_after", "timeout", "patience")


def _is_path(node: ast.BinOp | ast.AugAssign) -> bool:
    """A slash before a name in quotes."""
    right = node.right if isinstance(node, ast.BinOp) else node.value
    return isinstance(right, ast.JoinedStr) or (
        isinstance(right, ast.Constant) and isinstance(right.value, str)
    )


def _pricing(chance: random.Random) -> PricingConfig:
    def price() -> str:
        digits = chance.choice((1, 6, 9, 10, 12, 18))
        whole = chance.choice((0, 0, 0, chance.randrange(10), chance.randrange(10**6)))
        return f"{whole}.{chance.randrange(10**digits):0{digits}d}"

    def perhaps() -> str | None:
        return price() if chance.random() < 0.6 else None

    return PricingConfig(
        prompt=price(),
        completion=price(),
        input_cache_read=perhaps(),
        input_cache_write=perhaps(),
        reasoning=perhaps(),
    )


def _usage(chance: random.Random) -> Usage:
    def count() -> int:
        return chance.choice((0, 1, 2, chance.randrange(10**4), chance.randrange(2**31)))

    prompt, completion = count(), count()
    cached = chance.randint(0, prompt)
    return Usage(
        prompt_tokens=prompt,
        completion_tokens=completion,
        cached_tokens=cached,
        cache_write_tokens=chance.randint(0, prompt - cached),
        reasoning_tokens=chance.randint(0, completion),
    )


def _oracle(pricing: PricingConfig, usage: Usage) -> int:
    prompt, completion = Decimal(pricing.prompt), Decimal(pricing.completion)
    read = prompt if pricing.input_cache_read is None else Decimal(pricing.input_cache_read)
    write = prompt if pricing.input_cache_write is None else Decimal(pricing.input_cache_write)
    reasoning = completion if pricing.reasoning is None else Decimal(pricing.reasoning)
    parts = (
        (prompt, usage.prompt_tokens - usage.cached_tokens - usage.cache_write_tokens),
        (read, usage.cached_tokens),
        (write, usage.cache_write_tokens),
        (completion, usage.completion_tokens - usage.reasoning_tokens),
        (reasoning, usage.reasoning_tokens),
    )
    dollars = Decimal(0)
    for price, tokens in parts:
        dollars = EXACT.fma(price, Decimal(tokens), dollars)
    return int(EXACT.quantize(EXACT.scaleb(dollars, 9), Decimal(1)))
