"""How each generation of Claude is asked to think."""

from __future__ import annotations

import base64
import json
from typing import Any

import pytest

from service.providers.dialects.anthropic import AnthropicDialect
from service.providers.dialects.anthropic_models import Claude, claude
from service.providers.dialects.dialect import HttpRequest
from tests.support.proto_request import proto_request

HELLO = [{"role": "user", "content": "Hello"}]
TOOL = {"type": "function", "function": {"name": "look"}}
CALL = {"id": "c1", "type": "function", "function": {"name": "look", "arguments": "{}"}}
THOUGHT = {"type": "thinking", "thinking": "hm", "signature": "sig"}
BUDGET, EFFORT_46, EFFORT = "claude-sonnet-4-5", "claude-opus-4-6", "claude-opus-4-8"


def encoded(effort: str, model: str, **fields: Any) -> HttpRequest:
    given = {"model": "m", "messages": HELLO, "reasoning_effort": effort or None, **fields}
    return AnthropicDialect().encode(proto_request(given), model, stream=False)


def body(effort: str, model: str, **fields: Any) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(encoded(effort, model, **fields).body)
    return found


@pytest.mark.parametrize(
    ("model", "version"),
    [
        ("claude-3-7-sonnet-20250219", Claude(schemas=False)),
        ("claude-sonnet-4-20250514", Claude(schemas=False)),
        ("claude-opus-4@20250514", Claude(schemas=False)),
        ("claude-sonnet-4-0", Claude(schemas=False)),
        ("claude-opus-4-1-20250805", Claude(both_samplings=False)),
        ("anthropic/claude-haiku-4.5", Claude(both_samplings=False)),
        (
            "us.anthropic.claude-sonnet-4-6-v1:0",
            Claude(both_samplings=False, adaptive=True, prefix=False),
        ),
        ("some-other-model", Claude()),
    ],
)
def test_a_name_tells_the_generation_whatever_stands_around_it(model: str, version: Claude) -> None:
    assert claude(model) == version


@pytest.mark.parametrize(
    ("model", "off", "forced"),
    [
        ("claude-opus-4-8", "disabled", True),
        ("claude-opus-5", "disabled", True),
        ("claude-sonnet-5-20260601", "disabled", True),
        ("claude-haiku-5-5", "disabled", True),
        ("claude-sonnet-5-5", "between_tools", False),
        ("claude-fable-5", "", True),
        ("claude-fable-5-1", "", False),
        ("claude-mythos-preview", "", False),
        ("claude-opus-5-5", "", False),
        ("claude-opus-6", "", False),
    ],
)
def test_newer_models_think_by_effort_and_take_no_sampling(
    model: str, off: str, forced: bool
) -> None:
    takes = claude(model)
    assert takes.adaptive and takes.xhigh and not takes.sampling
    assert takes.thinks_unasked == (model != "claude-opus-4-8")
    assert (takes.off, takes.forced_tools) == (off, forced)


@pytest.mark.parametrize(
    ("effort", "budget"),
    [
        ("minimal", 1024),
        ("low", 4096),
        ("medium", 8192),
        ("high", 16384),
        ("xhigh", 24576),
        ("max", 27648),
    ],
)
def test_older_models_are_given_a_budget_above_which_the_default_limit_is_raised(
    effort: str, budget: int
) -> None:
    found = body(effort, BUDGET)
    assert found["thinking"] == {"type": "enabled", "budget_tokens": budget}
    assert found["max_tokens"] == 4096 + budget <= 32000
    assert "output_config" not in found
    assert encoded(effort, BUDGET).ignored == ()


@pytest.mark.parametrize(("limit", "budget"), [(20000, 8192), (6000, 3000), (1500, 1024)])
def test_a_budget_stays_below_the_callers_own_limit(limit: int, budget: int) -> None:
    found = body("medium", BUDGET, max_tokens=limit)
    assert found["max_tokens"] == limit
    assert found["thinking"]["budget_tokens"] == budget < limit


def test_a_limit_that_leaves_no_room_for_the_least_budget_means_no_thinking() -> None:
    found = encoded("low", BUDGET, max_tokens=1024)
    assert "thinking" not in json.loads(found.body)
    assert found.ignored == ("reasoning_effort",)


@pytest.mark.parametrize(
    ("effort", "sent", "sent_by_46"),
    [
        ("minimal", "low", "low"),
        ("low", "low", "low"),
        ("medium", "medium", "medium"),
        ("high", "high", "high"),
        ("xhigh", "xhigh", "high"),
        ("max", "max", "max"),
    ],
)
def test_newer_models_are_given_an_effort(effort: str, sent: str, sent_by_46: str) -> None:
    for model, expected in ((EFFORT, sent), (EFFORT_46, sent_by_46)):
        found = body(effort, model)
        assert found["thinking"] == {"type": "adaptive", "display": "summarized"}
        assert found["output_config"] == {"effort": expected}
        assert found["max_tokens"] > 4096
    assert body(effort, EFFORT, max_tokens=50)["max_tokens"] == 50


@pytest.mark.parametrize("model", [BUDGET, EFFORT_46, EFFORT, "claude-opus-5"])
def test_no_reasoning_turns_thinking_off(model: str) -> None:
    found = encoded("none", model)
    assert json.loads(found.body)["thinking"] == {"type": "disabled"}
    assert json.loads(found.body)["max_tokens"] == 4096
    assert found.ignored == ()


def test_a_model_whose_thinking_is_turned_off_by_another_word_hears_that() -> None:
    assert body("none", "claude-sonnet-5-5")["thinking"] == {"type": "between_tools"}


def test_a_model_that_always_thinks_is_asked_for_the_least_and_it_is_named() -> None:
    found = encoded("none", "claude-opus-5-5")
    assert "thinking" not in json.loads(found.body)
    assert json.loads(found.body)["output_config"] == {"effort": "low"}
    assert found.ignored == ("reasoning_effort",)


@pytest.mark.parametrize(
    ("model", "limit"), [(BUDGET, 4096), (EFFORT, 4096), ("claude-sonnet-5", 20480)]
)
def test_without_an_effort_nothing_is_said_but_what_thinks_unasked_gets_room(
    model: str, limit: int
) -> None:
    found = body("", model)
    assert found["max_tokens"] == limit
    assert not {"thinking", "output_config"} & set(found)


def test_effort_and_a_schema_share_one_place() -> None:
    form = {"type": "json_schema", "json_schema": {"name": "x", "schema": {"type": "object"}}}
    found = body("high", EFFORT, response_format=form)
    assert found["output_config"]["effort"] == "high"
    assert found["output_config"]["format"]["type"] == "json_schema"


@pytest.mark.parametrize("choice", ["required", {"type": "function", "function": {"name": "look"}}])
def test_a_demanded_call_rules_out_thinking_by_budget_only(choice: Any) -> None:
    fields = {"tools": [TOOL], "tool_choice": choice}
    found = encoded("low", BUDGET, **fields)
    assert "thinking" not in json.loads(found.body)
    assert json.loads(found.body)["tool_choice"]["type"] in ("any", "tool")
    assert found.ignored == ("reasoning_effort",)
    assert encoded("low", EFFORT, **fields).ignored == ()


def mid_call(state: bytes) -> list[dict[str, Any]]:
    called = {"role": "assistant", "content": None, "tool_calls": [CALL]}
    called["provider_state"] = base64.b64encode(state).decode()
    return [*HELLO, called, {"role": "tool", "tool_call_id": "c1", "content": "seen"}]


def test_thinking_by_budget_cannot_begin_in_the_middle_of_calls() -> None:
    fields = {"tools": [TOOL], "messages": mid_call(b"")}
    found = encoded("low", BUDGET, **fields)
    assert "thinking" not in json.loads(found.body)
    assert found.ignored == ("reasoning_effort",)
    assert body("low", EFFORT, **fields)["thinking"]["type"] == "adaptive"


def test_thinking_by_budget_goes_on_with_the_thoughts_that_were_handed_back() -> None:
    state = json.dumps({"anthropic": {"at": [0, 0], "block": THOUGHT}}).encode()
    found = body("low", BUDGET, tools=[TOOL], messages=mid_call(state))
    assert found["thinking"]["type"] == "enabled"
    assert found["messages"][1]["content"][0] == THOUGHT
    after = [*mid_call(b""), {"role": "assistant", "content": "done"}, *HELLO]
    assert body("low", BUDGET, tools=[TOOL], messages=after)["thinking"]["type"] == "enabled"
