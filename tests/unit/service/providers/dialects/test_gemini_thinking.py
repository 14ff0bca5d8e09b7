from __future__ import annotations

from typing import Any

import pytest
from llmbase.v1 import chat_completion_pb2 as pb

from service.providers.dialects import gemini_thinking

EFFORTS = ("NONE", "MINIMAL", "LOW", "MEDIUM", "HIGH", "XHIGH", "MAX")


def config(model: str, effort: str) -> dict[str, Any] | None:
    return gemini_thinking.config(model, pb.ReasoningEffort.Value(f"REASONING_EFFORT_{effort}"))


def levels(model: str) -> str:
    return " ".join((config(model, effort) or {})["thinkingLevel"] for effort in EFFORTS)


@pytest.mark.parametrize(
    ("model", "wanted"),
    [
        ("gemini-3-flash-preview", "MINIMAL MINIMAL LOW MEDIUM HIGH HIGH HIGH"),
        ("gemini-3.5-flash", "MINIMAL MINIMAL LOW MEDIUM HIGH HIGH HIGH"),
        ("gemini-3.1-flash-lite", "MINIMAL MINIMAL LOW MEDIUM HIGH HIGH HIGH"),
        ("gemini-flash-lite-latest", "MINIMAL MINIMAL LOW MEDIUM HIGH HIGH HIGH"),
        ("gemini-3.8-flash", "LOW LOW LOW MEDIUM HIGH HIGH HIGH"),
        ("gemini-flash-latest", "LOW LOW LOW MEDIUM HIGH HIGH HIGH"),
        ("gemini-3.1-pro-preview", "LOW LOW LOW MEDIUM HIGH HIGH HIGH"),
        ("publishers/google/models/gemini-3.1-pro", "LOW LOW LOW MEDIUM HIGH HIGH HIGH"),
        ("gemini-4-pro", "LOW LOW LOW MEDIUM HIGH HIGH HIGH"),
        ("gemini-3-pro-preview", "LOW LOW LOW HIGH HIGH HIGH HIGH"),
        ("gemini-3.1-flash-image", "MINIMAL MINIMAL HIGH HIGH HIGH HIGH HIGH"),
    ],
)
def test_from_version_3_on_an_effort_is_the_least_level_that_is_not_below_it(
    model: str, wanted: str
) -> None:
    assert levels(model) == wanted


@pytest.mark.parametrize(
    ("model", "wanted"),
    [
        ("gemini-2.5-flash", [0, 1024, 1024, 8192, 24576, 24576, 24576]),
        ("models/gemini-2.5-flash-lite", [0, 1024, 1024, 8192, 24576, 24576, 24576]),
        ("gemini-2.5-pro", [128, 1024, 1024, 8192, 24576, 32768, 32768]),
    ],
)
def test_in_version_2_5_an_effort_is_a_budget_of_tokens(model: str, wanted: list[int]) -> None:
    assert [(config(model, effort) or {})["thinkingBudget"] for effort in EFFORTS] == wanted


@pytest.mark.parametrize("model", ["gemini-3.5-flash", "gemini-2.5-pro"])
def test_thoughts_are_asked_for_unless_there_should_be_none(model: str) -> None:
    shown = [(config(model, effort) or {}).get("includeThoughts") for effort in EFFORTS]
    assert shown == [None, True, True, True, True, True, True]


@pytest.mark.parametrize(
    "model",
    [
        "gemini-2.0-flash",
        "gemini-1.5-pro",
        "gemini-2.5-flash-image",
        "gemma-3-27b-it",
        "endpoints/1",
    ],
)
def test_a_model_that_is_not_known_to_think_gets_no_configuration(model: str) -> None:
    assert config(model, "HIGH") is None


def test_no_effort_is_no_configuration() -> None:
    unset = pb.REASONING_EFFORT_UNSPECIFIED
    assert gemini_thinking.config("gemini-3.5-flash", unset) is None
