"""What OpenAI's reasoning models do not take, read from a model's name: the one table of it.

Sources: OpenAI's guides to reasoning and to the latest models, and Azure's list of what reasoning
models do not support. A name that tells nothing (a deployment's) gets all that was asked.
"""

from __future__ import annotations

import re
from typing import Any

from llmbase.v1 import chat_completion_pb2 as pb

# `o3-mini`, `gpt-5.1-2025-11-13`, `ft:o4-mini:…`; not `gpt-35-turbo`, which is Azure's 3.5.
_REASONING = re.compile(
    r"(?<![a-z0-9])(?:o[1-9](?![a-z0-9])|gpt-(?P<major>[5-9])(?!\d|-chat)(?:\.(?P<minor>\d+))?)"
)
_FREE_WITHOUT_REASONING = (5, 1)  # since when reasoning alone, and not the model, forbids sampling
_BY_REASONING = frozenset({"temperature", "top_p", "logprobs", "top_logprobs"})
_ALWAYS = frozenset({"frequency_penalty", "presence_penalty", "logit_bias"})

# What happens where nothing is said, and so is no loss.
_USUAL = {"temperature": 1, "top_p": 1, "frequency_penalty": 0, "presence_penalty": 0}


def take_out(
    fields: dict[str, Any], model: str, effort: pb.ReasoningEffort.ValueType
) -> tuple[str, ...]:
    """Take out of a request's fields what the model of this name refuses at this effort.

    Returns the names of those that asked for something.
    """
    refused = _refused(model, effort)
    taken = {name: fields.pop(name) for name in tuple(fields) if name in refused}
    return tuple(
        name for name, value in taken.items() if value is not False and value != _USUAL.get(name)
    )


def _refused(model: str, effort: pb.ReasoningEffort.ValueType) -> frozenset[str]:
    name = _REASONING.search(model.lower())
    if name is None:
        return frozenset()
    version = (int(name["major"] or 0), int(name["minor"] or 0))
    # Without a word from the caller nobody knows whether the model's own default is to reason.
    if version >= _FREE_WITHOUT_REASONING and effort == pb.REASONING_EFFORT_NONE:
        return _ALWAYS
    return _ALWAYS | _BY_REASONING
