"""`reasoning_effort` in the Messages API: thinking by effort or by budget, and what it costs.

| reasoning_effort | effort (Claude 4.6 and later) | budget of tokens (before) |
|---|---|---|
| absent  | nothing is sent: the model's own way | nothing is sent: no thinking |
| none    | thinking is turned off | thinking is turned off |
| minimal | low | 1,024 |
| low     | low | 4,096 |
| medium  | medium | 8,192 |
| high    | high | 16,384 |
| xhigh   | xhigh (4.6: high) | 24,576 |
| max     | max | 27,648 |

Thinking counts towards `max_tokens`. A budget is at most half of the caller's own limit, and never
below the API's least; where even that does not fit there is no thinking. Without such a limit the
default limit is raised by the budget, so that the answer keeps its room. (The largest budget and
the default limit together are within what the smallest of these models can put out.)

What a model cannot do is left out and named: thinking beside a demanded tool call, or in the middle
of tool calls whose own thinking was not handed back (both by budget only); no thinking at all where
it cannot be turned off (the least effort is asked for instead).
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from llmbase.v1 import chat_completion_pb2 as pb

from service.providers.dialects.anthropic_models import Claude

_LEAST_BUDGET = 1024  # tokens; the API takes no smaller one

_BUDGETS = {
    pb.REASONING_EFFORT_MINIMAL: _LEAST_BUDGET,
    pb.REASONING_EFFORT_LOW: 4096,
    pb.REASONING_EFFORT_MEDIUM: 8192,
    pb.REASONING_EFFORT_HIGH: 16384,
    pb.REASONING_EFFORT_XHIGH: 24576,
    pb.REASONING_EFFORT_MAX: 27648,
}
_EFFORTS = {
    pb.REASONING_EFFORT_MINIMAL: "low",
    pb.REASONING_EFFORT_LOW: "low",
    pb.REASONING_EFFORT_MEDIUM: "medium",
    pb.REASONING_EFFORT_HIGH: "high",
    pb.REASONING_EFFORT_XHIGH: "xhigh",
    pb.REASONING_EFFORT_MAX: "max",
}


@dataclass(frozen=True, slots=True)
class Reasoning:
    """How a request asks for reasoning.

    `thinking` and `effort` are what is sent, unless empty. `room` is how many tokens the default
    limit is raised by. `honoured` says whether this is what the caller asked for.
    """

    thinking: dict[str, Any] = field(default_factory=dict)
    effort: str = ""
    room: int = 0
    honoured: bool = True

    @property
    def output(self) -> dict[str, Any]:
        """What `output_config` says about it."""
        return {"effort": self.effort} if self.effort else {}

    @property
    def thinks(self) -> bool:
        """Whether thinking is asked for, which leaves little to sampling."""
        return self.thinking.get("type") in ("enabled", "adaptive")


def reasoning(request: pb.ChatCompletionRequest, takes: Claude, *, thinkable: bool) -> Reasoning:
    """Return how to ask the model for the request's reasoning effort.

    `thinkable` is whether the rest of the request lets a model think that does so by budget.
    """
    asked = request.reasoning_effort
    if asked == pb.REASONING_EFFORT_NONE:
        if takes.off:
            return Reasoning({"type": takes.off})
        return Reasoning(effort="low", room=_BUDGETS[pb.REASONING_EFFORT_LOW], honoured=False)
    if asked not in _BUDGETS:
        return Reasoning(room=_BUDGETS[pb.REASONING_EFFORT_HIGH] if takes.thinks_unasked else 0)
    if takes.adaptive:
        effort = _EFFORTS[asked]
        if effort == "xhigh" and not takes.xhigh:
            effort = "high"
        # Newer models send their thinking back empty unless told otherwise.
        return Reasoning({"type": "adaptive", "display": "summarized"}, effort, _BUDGETS[asked])
    budget = _BUDGETS[asked]
    if request.HasField("max_tokens"):
        budget = max(_LEAST_BUDGET, min(budget, request.max_tokens // 2))
        thinkable = thinkable and budget < request.max_tokens
    if not thinkable:
        return Reasoning(honoured=False)
    return Reasoning({"type": "enabled", "budget_tokens": budget}, room=budget)
