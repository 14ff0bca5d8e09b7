"""A flame graph as one SVG file. Pure."""

from __future__ import annotations

from collections import Counter
from html import escape

_WIDTH = 1600.0
_HEIGHT = 17
_LEAST = 0.4  # pixels: what is narrower is left out
_COLOURS = {
    "gateway/": "#7fb3d5",
    "service/": "#f5b041",
    "channel/": "#bb8fce",
    "telemetry/": "#f1948a",
    "aiohttp/": "#a9dfbf",
}


class _Frame:
    __slots__ = ("below", "samples")

    def __init__(self) -> None:
        self.samples = 0
        self.below: dict[str, _Frame] = {}


def svg(stacks: Counter[tuple[str, ...]], title: str) -> str:
    """Return the picture; hovering over a frame says its name and share."""
    root = _Frame()
    for stack, count in stacks.items():
        at = root
        at.samples += count
        for frame in stack:
            at = at.below.setdefault(frame, _Frame())
            at.samples += count
    boxes: list[str] = []
    _draw(root, title, 0.0, 0, root.samples or 1, boxes)
    height = _HEIGHT * (2 + max(map(len, stacks), default=0))
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{_WIDTH:.0f}" height="{height}" '
        f'font-family="monospace" font-size="11">\n' + "\n".join(boxes) + "\n</svg>\n"
    )


def _draw(frame: _Frame, name: str, left: float, depth: int, total: int, boxes: list[str]) -> None:
    width = _WIDTH * frame.samples / total
    if width < _LEAST:
        return
    share = 100 * frame.samples / total
    shown = escape(name[: int(width / 6.7)]) if width > 20 else ""
    top = depth * _HEIGHT
    boxes.append(
        f"<g><title>{escape(name)} {share:.1f} %</title>"
        f'<rect x="{left:.1f}" y="{top}" width="{width:.1f}" height="{_HEIGHT - 1}" '
        f'fill="{_colour(name)}"/><text x="{left + 2:.1f}" y="{top + 12}">{shown}</text></g>'
    )
    for below, inner in sorted(frame.below.items()):
        _draw(inner, below, left, depth + 1, total, boxes)
        left += _WIDTH * inner.samples / total


def _colour(name: str) -> str:
    return next((colour for room, colour in _COLOURS.items() if room in name), "#e5e7e9")
