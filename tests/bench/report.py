"""What has been measured: ratios, and a table."""

from __future__ import annotations

import os
import platform
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from tests.bench.running import Results
from tests.bench.scenarios import SCENARIOS
from tests.bench.subjects import SKELETONS

WORSE = 1.15  # times the baseline that a ratio may be

Ratios = dict[str, float]  # by "scenario: subject / skeleton"


def machine() -> dict[str, Any]:
    """Where this was measured."""
    return {
        "cpu": _cpu(),
        "cores": os.cpu_count(),
        "python": platform.python_version(),
        "system": platform.platform(terse=True),
        "load": round(os.getloadavg()[0], 2),
    }


def added(results: Results) -> None:
    """Add to each latency what a subject adds to it: the difference to asking directly."""
    for subjects in results.values():
        direct = subjects.get("direct", {})
        for figures in subjects.values():
            if "ms_p50" in figures and "ms_p50" in direct:
                figures["added_ms_p50"] = figures["ms_p50"] - direct["ms_p50"]


def ratios(results: Results) -> Ratios:
    """Return how many times its bare skeleton each subject costs, where both were measured."""
    found: Ratios = {}
    for scenario, subjects in results.items():
        figure = SCENARIOS[scenario].figure if scenario in SCENARIOS else "ms"
        for subject, figures in subjects.items():
            skeleton = SKELETONS.get(subject, "skeleton")
            limit = subjects.get(skeleton, {}).get(figure)
            if subject not in (skeleton, "direct", *SKELETONS.values()) and limit and limit > 0:
                found[f"{scenario}: {subject} / {skeleton}"] = figures[figure] / limit
    return found


def checked(all_ratios: Ratios) -> Ratios:
    """Return the ratios of ours that the check holds on to."""
    return {
        name: ratio
        for name, ratio in all_ratios.items()
        if (scenario := SCENARIOS.get(name.partition(":")[0])) is not None
        and scenario.checked
        and name.partition(": ")[2].partition(" / ")[0] in SKELETONS
    }


def worse(now: Mapping[str, float], baseline: Mapping[str, float]) -> list[str]:
    """Return the baseline's ratios that are worse by more than the allowance, or missing."""
    return [name for name, was in baseline.items() if now.get(name, float("inf")) > was * WORSE]


def table(results: Results, all_ratios: Ratios) -> str:
    """Return everything as text."""
    lines: list[str] = []
    for scenario, subjects in results.items():
        names = list(dict.fromkeys(name for figures in subjects.values() for name in figures))
        lines.append(f"\n{scenario}")
        width = max(map(len, subjects)) + 2
        lines.append(
            "  " + "".ljust(width) + "".join(name.rjust(max(12, len(name) + 2)) for name in names)
        )
        for subject, figures in subjects.items():
            cells = [
                (f"{figures[name]:.3f}" if name in figures else "-").rjust(max(12, len(name) + 2))
                for name in names
            ]
            lines.append("  " + subject.ljust(width) + "".join(cells))
    lines.append("\ntimes the bare skeleton")
    lines += [f"  {name.ljust(44)}{ratio:8.2f}" for name, ratio in all_ratios.items()]
    return "\n".join(lines) + "\n"


def _cpu() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    except OSError:
        return platform.processor()
    models = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return models[0] if models else platform.processor()
