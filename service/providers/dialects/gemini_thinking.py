"""How much a model thinks: our effort in the words of its generation. Tables, by model name.

From version 3 on there are levels, 2.5 has a budget of tokens, older models do not think. Sources:
Google's guide to thinking, and its table of efforts for OpenAI clients.
"""

from __future__ import annotations

import re
from typing import Any, NamedTuple

from llmbase.v1 import chat_completion_pb2 as pb


class _Generation(NamedTuple):
    major: int
    minor: int


_NAME = re.compile(r"gemini-(\d{1,2})(?:\.(\d{1,2}))?(?:-|$)")
_LATEST = re.compile(r"gemini-(?:pro|flash|flash-lite)-latest$")
_NEWEST = _Generation(99, 0)  # what the names that always mean the newest model stand for

_SCALE = ("MINIMAL", "LOW", "MEDIUM", "HIGH")
_ALL = frozenset(_SCALE)
# Thinking cannot be turned off: "none" is the least that the model can.
_LEVELS = {
    pb.REASONING_EFFORT_NONE: "MINIMAL",
    pb.REASONING_EFFORT_MINIMAL: "MINIMAL",
    pb.REASONING_EFFORT_LOW: "LOW",
    pb.REASONING_EFFORT_MEDIUM: "MEDIUM",
    pb.REASONING_EFFORT_HIGH: "HIGH",
    pb.REASONING_EFFORT_XHIGH: "HIGH",
    pb.REASONING_EFFORT_MAX: "HIGH",
}
_BUDGETS = {
    pb.REASONING_EFFORT_NONE: 0,
    pb.REASONING_EFFORT_MINIMAL: 1024,
    pb.REASONING_EFFORT_LOW: 1024,
    pb.REASONING_EFFORT_MEDIUM: 8192,
    pb.REASONING_EFFORT_HIGH: 24576,
    pb.REASONING_EFFORT_XHIGH: 24576,
    pb.REASONING_EFFORT_MAX: 24576,
}
# 2.5 Pro cannot do without, and can do with more.
_PRO_BUDGETS = _BUDGETS | {
    pb.REASONING_EFFORT_NONE: 128,
    pb.REASONING_EFFORT_XHIGH: 32768,
    pb.REASONING_EFFORT_MAX: 32768,
}


def config(model: str, effort: pb.ReasoningEffort.ValueType) -> dict[str, Any] | None:
    """Return the `thinkingConfig` for an effort; None for a model that is not known to think.

    Thoughts are asked for too, unless there should be none.
    """
    generation = _generation(model)
    if generation is None or effort not in _LEVELS or generation < (2, 5):
        return None
    if generation >= (3, 0):
        found: dict[str, Any] = {"thinkingLevel": _level(model, generation, _LEVELS[effort])}
    elif "-image" in model:
        return None
    else:
        budgets = _PRO_BUDGETS if "-pro" in model else _BUDGETS
        found = {"thinkingBudget": budgets[effort]}
    if effort != pb.REASONING_EFFORT_NONE:
        found["includeThoughts"] = True
    return found


def wants_signatures(model: str) -> bool:
    """Whether the model refuses a tool call in the history that has no thought signature."""
    generation = _generation(model)
    return generation is not None and generation >= (3, 0)


def _generation(model: str) -> _Generation | None:
    name = model.rpartition("/")[2]
    if _LATEST.match(name):
        return _NEWEST
    match = _NAME.match(name)
    return _Generation(int(match[1]), int(match[2] or 0)) if match else None


def _level(model: str, generation: _Generation, wanted: str) -> str:
    """Return the least level of the model that is not below the wanted one."""
    known = _known_levels(model, generation)
    return next(level for level in _SCALE[_SCALE.index(wanted) :] if level in known)


def _known_levels(model: str, generation: _Generation) -> frozenset[str]:
    if "flash-image" in model:
        return frozenset({"MINIMAL", "HIGH"})
    if "flash-lite" in model or ("flash" in model and generation <= (3, 6)):
        return _ALL
    if generation == (3, 0):  # 3 Pro
        return frozenset({"LOW", "HIGH"})
    return _ALL - {"MINIMAL"}
