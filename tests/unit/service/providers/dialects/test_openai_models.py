"""What OpenAI's reasoning models do not take: left out and named, at OpenAI and at Azure only."""

from __future__ import annotations

import json
from typing import Any

import pytest
from llmbase.v1 import chat_completion_pb2 as pb

from service.config import ProviderConfig
from service.providers.dialects import DIALECTS

USER = pb.Message(role=pb.ROLE_USER, content=[pb.ContentPart(text="Hi")])
SAMPLING: dict[str, Any] = {
    "temperature": 0.2,
    "top_p": 0.5,
    "frequency_penalty": 1.0,
    "presence_penalty": -1.0,
    "logprobs": True,
    "top_logprobs": 2,
    "logit_bias": {"42": -100},
}
AZURE = {"dialect": "azure", "base_url": "https://x.openai.azure.com"}
NONE, LOW = pb.REASONING_EFFORT_NONE, pb.REASONING_EFFORT_LOW


def asked(
    model: str, config: dict[str, Any] | None = None, **fields: Any
) -> tuple[set[str], tuple[str, ...]]:
    """Return the names of the sampling fields that are sent, and of all that is named."""
    given = ProviderConfig.model_validate(config or {"dialect": "openai"})
    request = pb.ChatCompletionRequest(messages=[USER], **fields)
    http = DIALECTS[given.dialect].build(given).encode(request, model, stream=True)
    body = json.loads(http.body)
    return set(body) & set(SAMPLING), http.ignored


@pytest.mark.parametrize(
    "model",
    ["o1", "o3-mini", "o4-mini-2025-04-16", "gpt-5", "gpt-5-mini-2025-08-07", "ft:o4-mini:me::1"],
)
def test_a_reasoning_model_is_sent_no_sampling(model: str) -> None:
    assert asked(model, **SAMPLING) == (set(), tuple(SAMPLING))
    assert asked(model, AZURE, **SAMPLING) == (set(), tuple(SAMPLING))


@pytest.mark.parametrize(
    "model",
    [
        *("gpt-4o", "gpt-4.1-mini", "gpt-4-turbo", "gpt-35-turbo", "chatgpt-4o-latest"),
        *("gpt-5-chat-latest", "gpt-oss-120b", "solo1", "my-deployment"),
    ],
)
def test_any_other_model_is_sent_all_of_it(model: str) -> None:
    assert asked(model, **SAMPLING) == (set(SAMPLING), ())
    assert asked(model, AZURE, **SAMPLING) == (set(SAMPLING), ())


@pytest.mark.parametrize("model", ["gpt-5.1", "gpt-5.2-2025-12-11", "gpt-6"])
def test_a_newer_one_that_does_not_reason_takes_what_only_reasoning_forbids(model: str) -> None:
    taken = {"temperature", "top_p", "logprobs", "top_logprobs"}
    rest = tuple(name for name in SAMPLING if name not in taken)
    assert asked(model, reasoning_effort=NONE, **SAMPLING) == (taken, rest)
    assert asked(model, reasoning_effort=LOW, **SAMPLING) == (set(), tuple(SAMPLING))
    assert asked(model, **SAMPLING) == (set(), tuple(SAMPLING))


def test_what_happens_anyway_is_left_out_without_a_word() -> None:
    usual = {
        "temperature": 1.0,
        "top_p": 1.0,
        "frequency_penalty": 0.0,
        "presence_penalty": 0.0,
        "logprobs": False,
    }
    assert asked("o3", **usual) == (set(), ())


def test_a_server_of_ones_own_is_sent_what_it_is_asked() -> None:
    mine = {"dialect": "openai", "base_url": "http://mine/v1"}
    assert asked("o3", mine, **SAMPLING) == (set(SAMPLING), ())
