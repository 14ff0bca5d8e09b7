"""A bar chart of text: integers in, no wider than the terminal."""

from __future__ import annotations

import shutil
import sys
from collections.abc import Sequence

_EIGHTHS = " ▏▎▍▌▋▊▉█"
_LEAST = 10  # columns of the longest bar


def bars(
    labels: Sequence[str],
    values: Sequence[int],
    texts: Sequence[str],
    *,
    width: int | None = None,
    plain: bool | None = None,
) -> str:
    """Return a line for each value, which is 0 or more.

    `width` is that of the terminal and `plain` whether it has no blocks, unless they are given.
    """
    columns = shutil.get_terminal_size().columns if width is None else width
    ascii_only = _is_plain() if plain is None else plain
    label, text = max(map(len, labels)), max(map(len, texts))
    room = max(_LEAST, columns - label - text - 3)
    most = max(*values, 1)
    lines = []
    for name, value, said in zip(labels, values, texts, strict=True):
        drawn = "#" * (value * room // most) if ascii_only else _blocks(value * room * 8 // most)
        lines.append(f"{name.ljust(label)} {drawn or _smallest(value, ascii_only)} {said}")
    return "\n".join(lines)


def _blocks(eighths: int) -> str:
    whole, rest = divmod(eighths, 8)
    return "█" * whole + (_EIGHTHS[rest] if rest else "")


def _smallest(value: int, ascii_only: bool) -> str:
    """What is not nothing is seen."""
    if not value:
        return ""
    return "|" if ascii_only else "▏"


def _is_plain() -> bool:
    return "utf" not in (getattr(sys.stdout, "encoding", "") or "").lower()
