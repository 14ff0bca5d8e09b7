"""What an answer says of its way is that of its own, though another's was nearly the same."""

from __future__ import annotations

from typing import Any

import pytest
from llmbase.v1.chat_completion_pb2 import RouteFacts

from gateway.exchange import route_lines

PLAIN: dict[str, Any] = {
    "requested_model": "a",
    "served_model": "a",
    "provider": "p",
    "attempts": 1,
}
SAID = (
    "x-llmbase-requested-model: a\r\n"
    "x-llmbase-served-model: a\r\n"
    "x-llmbase-fallback-applied: false\r\n"
    "x-llmbase-provider: p\r\n"
    "x-llmbase-attempts: 1\r\n"
)


@pytest.mark.parametrize(
    ("more", "ignored", "said"),
    [
        ({}, (), SAID),
        ({"attempts": 2}, (), SAID.replace("attempts: 1", "attempts: 2")),
        ({"replayed": True}, (), SAID + "x-llmbase-idempotent-replay: true\r\n"),
        ({"ignored_parameters": ["n"]}, (), SAID + "x-llmbase-ignored-parameters: n\r\n"),
        ({}, ("x",), SAID + "x-llmbase-ignored-parameters: x\r\n"),
        ({"ignored_parameters": ["n"]}, ("x", "n"), SAID + "x-llmbase-ignored-parameters: x,n\r\n"),
        (
            {"fallback_applied": True, "fallback_reason": "r", "fallback_chain": ["a", "ü"]},
            (),
            SAID.replace("applied: false", "applied: true")
            + "x-llmbase-fallback-reason: r\r\nx-llmbase-fallback-chain: a,%C3%BC\r\n",
        ),
    ],
)
def test_every_way_has_lines_of_its_own(
    more: dict[str, Any], ignored: tuple[str, ...], said: str
) -> None:
    first = route_lines(RouteFacts(**PLAIN), ())
    for _ in range(2):
        assert route_lines(RouteFacts(**{**PLAIN, **more}), ignored) == said
    assert route_lines(RouteFacts(**PLAIN), ()) == first == SAID
