"""What families of models take beyond Converse's common language: the one table of it.

Converse has one form for all models, yet refuses what the model behind it does not know. The
family is read from the model's id, which regional ids, profiles and ARNs hold as it is; an id that
tells nothing gets the common language. What Claude's generations take is in anthropic_models.py.

Sources: the Bedrock user guide's pages on structured outputs, on Claude's thinking, on tool use and
on OpenAI's models, and the Nova 2 guide's page on extended thinking.
"""

from __future__ import annotations

import enum
import re
from dataclasses import dataclass, replace

from service.providers.dialects.anthropic_models import Claude, claude


class Thinking(enum.Enum):
    """In whose way a model is told how much to reason; see bedrock_reasoning.py."""

    NOT = enum.auto()
    CLAUDE = enum.auto()
    NOVA = enum.auto()
    WORD = enum.auto()


@dataclass(frozen=True, slots=True)
class Family:
    """What is known of a family of models.

    `schemas`: the text of an answer can be held to a JSON schema; where not, and where a call can
    be demanded, the answer is made a call's arguments. `strict`: so can the arguments of calls.
    `claude` is what one of Claude's models takes, None for all others.
    """

    thinking: Thinking = Thinking.NOT
    schemas: bool = True
    strict: bool = False
    claude: Claude | None = None


# The first pattern counts.
_FAMILIES = tuple(
    (re.compile(pattern), family)
    for pattern, family in (
        (
            r"claude-(?:v\d|instant|3-(?:5|haiku|sonnet|opus))",
            Family(schemas=False, claude=Claude()),
        ),
        (r"claude-(?:3-7|(?:opus|sonnet)-4-(?:\d{8}|1))", Family(Thinking.CLAUDE, schemas=False)),
        (r"anthropic\.claude-", Family(Thinking.CLAUDE, strict=True)),
        (r"amazon\.nova-2", Family(Thinking.NOVA, schemas=False)),
        (r"amazon\.nova", Family(schemas=False)),
        (r"openai\.gpt-oss", Family(Thinking.WORD, strict=True)),
    )
)


def family(model: str) -> Family:
    """Return what is known of the model of this id."""
    for pattern, found in _FAMILIES:
        if pattern.search(model):
            if found.thinking is Thinking.CLAUDE:
                return replace(found, claude=claude(model))
            return found
    return Family()
