"""Usage by class: what a provider says may be anything, what the caller sees is usage."""

from __future__ import annotations

from service.providers.dialects.token_classes import TokenClasses


def test_figures_that_no_answer_can_have_are_bounded():
    usage = TokenClasses(2**40, 2**40, -1, 2**40, 2**40).to_usage()
    assert usage.total_tokens == usage.prompt_tokens + usage.completion_tokens
    assert usage.cached_tokens <= usage.prompt_tokens
    assert usage.reasoning_tokens <= usage.completion_tokens
    assert usage.cache_write_tokens == 0
