"""What each generation of Claude takes: the one table of it, read from a model's name.

Sources: the provider's pages on thinking, effort, tool use and sampling, its list of models with
their capabilities, and its errors. Names that are not Claude's (other servers that speak the
Messages API) get what the API took before any of this: a budget for thinking, all the rest.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Any

# `claude-opus-4-5-20251101`, `claude-3-7-sonnet-…`, `anthropic/claude-haiku-4.5`,
# `us.anthropic.claude-sonnet-4-6-v1:0`; the digits of a date are no minor version.
_NAME = re.compile(
    r"claude-(?:(?P<family>[a-z]+)(?:-|$))?(?:(?P<major>\d{1,2})(?:[-.](?P<minor>\d{1,2}))?(?!\d))?"
)
_NEWEST = (99, 0)  # a name without a version (`claude-mythos-preview`) is that of a new model


@dataclass(frozen=True, slots=True)
class Claude:
    """What a model takes.

    `adaptive`: thinking is a matter of effort, not of a budget of tokens. `thinks_unasked`: it
    thinks where nothing is said about it. `off` is the word that turns thinking off, "" where
    nothing does. `xhigh`: that effort is known. `sampling`: `temperature` and `top_p` are taken;
    `both_samplings`: together. `forced_tools`: a call may be demanded. `prefix`: an assistant's
    message at the end is gone on with, and not refused. `schemas`: texts and arguments can be held
    to a schema.
    """

    adaptive: bool = False
    thinks_unasked: bool = False
    off: str = "disabled"
    xhigh: bool = False
    sampling: bool = True
    both_samplings: bool = True
    forced_tools: bool = True
    prefix: bool = True
    schemas: bool = True


# Families ("" for all), the version since when, and what changed with it; later rows win.
_CHANGES: tuple[tuple[str, tuple[int, int], dict[str, Any]], ...] = (
    ("", (4, 1), {"both_samplings": False, "schemas": True}),
    ("", (4, 6), {"adaptive": True, "prefix": False}),
    ("", (4, 7), {"xhigh": True, "sampling": False}),
    ("", (5, 0), {"thinks_unasked": True}),
    ("fable mythos", (5, 0), {"off": ""}),
    ("fable mythos", (5, 1), {"forced_tools": False}),
    ("opus", (5, 5), {"off": "", "forced_tools": False}),
    ("sonnet", (5, 5), {"off": "between_tools", "forced_tools": False}),
)


def claude(model: str) -> Claude:
    """Return what the model of this name takes."""
    name = _NAME.search(model.lower())
    if name is None:
        return Claude()
    family, major = name["family"] or "", name["major"]
    version = (int(major), int(name["minor"] or 0)) if major else _NEWEST
    takes: dict[str, Any] = {"schemas": False}
    for families, since, change in _CHANGES:
        if version >= since and (not families or family in families.split()):
            takes |= change
    return Claude(**takes)
