"""What families of models take beyond Converse's common language, as far as it is documented.

Converse has one form for all models, yet refuses what the model behind it does not know. The
family is told from the model's id, which profiles, ARNs and regional ids hold as it is; an id that
tells nothing gets the common language only. The table is `_FAMILIES`: the first pattern counts.

Sources: the Bedrock user guide's pages on extended and adaptive thinking (Claude), on structured
outputs and on OpenAI models, and the Nova 2 guide's page on extended thinking.
"""

from __future__ import annotations

import enum
import re
from dataclasses import dataclass
from typing import Any

from llmbase.v1 import chat_completion_pb2 as pb

_SMALLEST_BUDGET = 1024  # tokens of thinking, the least that Claude takes

_NONE = pb.REASONING_EFFORT_NONE
_MINIMAL = pb.REASONING_EFFORT_MINIMAL
_LOW = pb.REASONING_EFFORT_LOW
_MEDIUM = pb.REASONING_EFFORT_MEDIUM
_HIGH = pb.REASONING_EFFORT_HIGH
_XHIGH = pb.REASONING_EFFORT_XHIGH
_MAX = pb.REASONING_EFFORT_MAX

# Ours: the providers name no tokens for an effort. All are below the smallest limit on output of
# the models that take a budget.
_BUDGETS = {
    _MINIMAL: _SMALLEST_BUDGET,
    _LOW: 2048,
    _MEDIUM: 8192,
    _HIGH: 16384,
    _XHIGH: 24576,
    _MAX: 30720,
}
_THREE_WORDS = {
    _MINIMAL: "low",
    _LOW: "low",
    _MEDIUM: "medium",
    _HIGH: "high",
    _XHIGH: "high",
    _MAX: "high",
}
_CLAUDE_WORDS = _THREE_WORDS | {_XHIGH: "xhigh", _MAX: "max"}


class Thinking(enum.Enum):
    """How a model is told how much to reason."""

    NOT = enum.auto()  # it cannot be told
    BUDGET = enum.auto()  # Claude: a number of tokens
    ADAPTIVE = enum.auto()  # Claude: a word, and the model decides
    ADAPTIVE_4_6 = enum.auto()  # the same without the word `xhigh`
    WORD = enum.auto()  # OpenAI's own field
    NOVA = enum.auto()


class Sampling(enum.Enum):
    """What a model takes of temperature and top_p."""

    BOTH = enum.auto()
    ONE = enum.auto()  # either, not both
    NEITHER = enum.auto()


@dataclass(frozen=True, slots=True)
class Family:
    """What is known of a family.

    `schemas` says whether the text of an answer can be held to a JSON schema; where not, a tool is
    forced whose arguments are the answer. `strict` is the same for the arguments of tools.
    """

    thinking: Thinking = Thinking.NOT
    schemas: bool = True
    strict: bool = False
    sampling: Sampling = Sampling.BOTH
    claude: bool = False


_FAMILIES = tuple(
    (re.compile(pattern), family)
    for pattern, family in (
        (
            r"claude-(?:v\d|instant|3-(?:5|haiku|sonnet|opus))",
            Family(schemas=False, claude=True),
        ),
        (
            r"claude-(?:3-7|(?:opus|sonnet)-4-\d{8})",
            Family(Thinking.BUDGET, schemas=False, claude=True),
        ),
        (
            r"claude-opus-4-1",
            Family(Thinking.BUDGET, schemas=False, sampling=Sampling.ONE, claude=True),
        ),
        (
            r"claude-\w+-4-5",
            Family(Thinking.BUDGET, strict=True, sampling=Sampling.ONE, claude=True),
        ),
        (
            r"claude-\w+-4-6",
            Family(Thinking.ADAPTIVE_4_6, strict=True, sampling=Sampling.ONE, claude=True),
        ),
        # All that came later takes the same, so far.
        (
            r"anthropic\.claude",
            Family(Thinking.ADAPTIVE, strict=True, sampling=Sampling.NEITHER, claude=True),
        ),
        (r"amazon\.nova-2", Family(Thinking.NOVA, schemas=False)),
        (r"amazon\.nova", Family(schemas=False)),
        (r"openai\.gpt-oss", Family(Thinking.WORD, strict=True)),
    )
)
_OTHER = Family()


def family(model: str) -> Family:
    """Return what is known of a model, by its id."""
    for pattern, found in _FAMILIES:
        if pattern.search(model):
            return found
    return _OTHER


def reasoning_fields(
    found: Family, effort: pb.ReasoningEffort.ValueType, max_tokens: int | None
) -> dict[str, Any] | None:
    """Return the model's own request fields for an effort; None where it cannot be honoured.

    They are empty where the effort is what the model does unasked. `max_tokens` is the limit on all
    output, reasoning included.
    """
    match found.thinking:
        case Thinking.BUDGET:
            return {} if effort == _NONE else _budget(_BUDGETS[effort], max_tokens)
        case Thinking.ADAPTIVE | Thinking.ADAPTIVE_4_6:
            return {} if effort == _NONE else _adaptive(found.thinking, effort)
        case Thinking.WORD:
            # It always reasons: the least it can comes nearest to none.
            return {"reasoning_effort": _THREE_WORDS.get(effort, "low")}
        case Thinking.NOVA:
            return {"reasoningConfig": _nova(effort, max_tokens)}
        case _:
            return None


def refuses_sampling(found: Family, fields: dict[str, Any]) -> bool:
    """Whether temperature and top_p are refused beside these request fields."""
    return (
        found.sampling is Sampling.NEITHER
        or "thinking" in fields
        or fields.get("reasoningConfig", {}).get("maxReasoningEffort") == "high"
    )


def _budget(budget: int, max_tokens: int | None) -> dict[str, Any] | None:
    """Leave half of the limit to the answer, where there is that much; thinking must fit in it."""
    if max_tokens is not None:
        if max_tokens <= _SMALLEST_BUDGET:
            return None
        budget = min(budget, max(_SMALLEST_BUDGET, max_tokens // 2))
    return {"thinking": {"type": "enabled", "budget_tokens": budget}}


def _adaptive(thinking: Thinking, effort: pb.ReasoningEffort.ValueType) -> dict[str, Any]:
    word = _CLAUDE_WORDS[effort]
    if thinking is Thinking.ADAPTIVE_4_6 and word == "xhigh":
        word = "high"
    return {"thinking": {"type": "adaptive"}, "output_config": {"effort": word}}


def _nova(effort: pb.ReasoningEffort.ValueType, max_tokens: int | None) -> dict[str, Any]:
    """Nova refuses a limit on tokens at high effort: the limit is a promise, the effort a wish."""
    if effort == _NONE:
        return {"type": "disabled"}
    word = _THREE_WORDS[effort]
    if word == "high" and max_tokens is not None:
        word = "medium"
    return {"type": "enabled", "maxReasoningEffort": word}
