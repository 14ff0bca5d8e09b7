"""The tool plan as opaque state: what the model said it would do, before it called its tools.

It is no part of the answer, but Cohere wants it back with the calls. As `provider_state` it is one
line of JSON, `{"cohere":{"tool_plan":"…"}}`. State that another dialect wrote is left out.
"""

from __future__ import annotations

from msgspec import Struct, json


class _Kept(Struct, gc=False):
    tool_plan: str


class _Line(Struct, gc=False):
    cohere: _Kept | None = None


def of_plan(plan: str) -> bytes:
    """Return the `provider_state` of a message with that plan, b"" for none."""
    return json.encode(_Line(_Kept(plan))) + b"\n" if plan else b""


def plan(state: bytes) -> str:
    """Return the plan in a `provider_state`, "" where there is none of ours."""
    found = []
    for line in state.splitlines():
        try:
            kept = json.decode(line, type=_Line).cohere
        except (ValueError, RecursionError):
            continue
        if kept is not None:
            found.append(kept.tool_plan)
    return "".join(found)
