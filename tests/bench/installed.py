"""How much disk llmbase takes without its extras: its own files and what it needs."""

from __future__ import annotations

from importlib.metadata import Distribution, PackageNotFoundError, distribution
from pathlib import Path

from packaging.requirements import Requirement

_ROOT = Path(__file__).parents[2]
_OURS = ("service", "gateway", "channel", "telemetry", "cli", "gen")


def megabytes() -> float:
    """Return the sum, in millions of bytes; our own files are counted in the checkout."""
    own = sum(_size(path) for room in _OURS for path in (_ROOT / room).rglob("*.py*"))
    return (own + sum(_files(found) for found in _needed("llmbase", {}).values())) / 1e6


def _needed(name: str, found: dict[str, Distribution]) -> dict[str, Distribution]:
    for text in distribution(name).requires or ():
        requirement = Requirement(text)
        if requirement.marker is not None and not requirement.marker.evaluate({"extra": ""}):
            continue
        if requirement.name.lower() not in found:
            try:
                found[requirement.name.lower()] = distribution(requirement.name)
            except PackageNotFoundError:
                continue  # for another system or Python
            _needed(requirement.name, found)
    return found


def _files(found: Distribution) -> int:
    return sum(_size(Path(str(file.locate()))) for file in found.files or ())


def _size(path: Path) -> int:
    return path.stat().st_size if path.is_file() else 0
