"""`reasoning_effort` as the fields that a family of models takes for it.

| reasoning_effort | Claude | Nova 2: `maxReasoningEffort` | gpt-oss: `reasoning_effort` |
|---|---|---|---|
| none         | turned off where it thinks unasked | disabled | low: it cannot but reason; named |
| minimal, low | by effort or by budget:            | low      | low    |
| medium       | see anthropic_reasoning.py         | medium   | medium |
| high, more   |                                    | high     | high   |

Nova refuses a limit on tokens, and sampling, beside `high`. A limit is a promise and the effort a
wish, so with a limit `high` becomes `medium`; sampling is left out, and named.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from llmbase.v1 import chat_completion_pb2 as pb

from service.providers.dialects import anthropic_reasoning
from service.providers.dialects.anthropic_models import Claude
from service.providers.dialects.bedrock_models import Family, Thinking

_WORDS = {
    pb.REASONING_EFFORT_MINIMAL: "low",
    pb.REASONING_EFFORT_LOW: "low",
    pb.REASONING_EFFORT_MEDIUM: "medium",
    pb.REASONING_EFFORT_HIGH: "high",
    pb.REASONING_EFFORT_XHIGH: "high",
    pb.REASONING_EFFORT_MAX: "high",
}


@dataclass(frozen=True, slots=True)
class Reasoning:
    """How a request asks for reasoning.

    `fields` are the model's own. `honoured` says whether this is what the caller asked for.
    `thinks` says that Claude does, which leaves little to sampling; `alone`, that no sampling is
    taken at all.
    """

    fields: dict[str, Any] = field(default_factory=dict)
    honoured: bool = True
    thinks: bool = False
    alone: bool = False


def reasoning(request: pb.ChatCompletionRequest, family: Family, *, thinkable: bool) -> Reasoning:
    """Return how to ask the model for the request's reasoning effort.

    `thinkable` is whether the rest of the request lets a Claude think that does so by budget.
    """
    effort = request.reasoning_effort
    if effort == pb.REASONING_EFFORT_UNSPECIFIED:
        return Reasoning()
    if family.thinking is Thinking.CLAUDE and family.claude:
        return _claude(request, family.claude, thinkable)
    if family.thinking is Thinking.NOVA:
        return _nova(effort, limited=request.HasField("max_tokens"))
    none = effort == pb.REASONING_EFFORT_NONE
    if family.thinking is Thinking.WORD:
        return Reasoning({"reasoning_effort": _WORDS.get(effort, "low")}, honoured=not none)
    return Reasoning(honoured=none)  # a model that cannot be told is not known to reason


def _claude(request: pb.ChatCompletionRequest, takes: Claude, thinkable: bool) -> Reasoning:
    # Bedrock's own page lists models that refuse to be told not to think; most do not unasked.
    if request.reasoning_effort == pb.REASONING_EFFORT_NONE and not takes.thinks_unasked:
        return Reasoning()
    wanted = anthropic_reasoning.reasoning(request, takes, thinkable=thinkable)
    fields: dict[str, Any] = {}
    if wanted.thinking:
        fields["thinking"] = wanted.thinking
    if wanted.effort:
        fields["output_config"] = {"effort": wanted.effort}
    return Reasoning(fields, honoured=wanted.honoured, thinks=wanted.thinks)


def _nova(effort: pb.ReasoningEffort.ValueType, *, limited: bool) -> Reasoning:
    if effort == pb.REASONING_EFFORT_NONE:
        return Reasoning({"reasoningConfig": {"type": "disabled"}})
    word = _WORDS.get(effort, "medium")
    if limited and word == "high":
        word = "medium"
    fields = {"reasoningConfig": {"type": "enabled", "maxReasoningEffort": word}}
    return Reasoning(fields, alone=word == "high")
