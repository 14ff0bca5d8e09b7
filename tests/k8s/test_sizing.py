"""What the manifests ask a cluster for follows from what was measured: docs/runbook.md has both."""

from __future__ import annotations

import re
from pathlib import Path
from typing import NamedTuple

import pytest

from tests.support.kubernetes import KUSTOMIZATIONS, containers, kustomized, of_kind

RUNBOOK = Path(__file__).parents[2] / "docs" / "runbook.md"
LOCAL_MODEL = "overlays/local-model"  # asks for what a model takes: cores, and its weights

# What a pod is planned for: the streams at which the autoscaler adds one, and so much of each.
CHUNKS_A_SECOND = 10
CALLS_A_SECOND = 50
MEMORY_TO_SPARE = 1.5  # bodies and whole answers on their way come on top of open streams
_UNITS = {"m": 0.001, "": 1.0, "Mi": 2.0**20, "Gi": 2.0**30}


class Figures(NamedTuple):
    """Of a process: bytes when idle and of a stream, seconds of CPU of a call and of a chunk."""

    idle: float
    stream: float
    call: float
    chunk: float


def measured(process: str) -> Figures:
    """Return a process's row of the runbook's table."""
    (row,) = re.findall(rf"^\| {process} \|(.*)\|$", RUNBOOK.read_text(), re.MULTILINE)
    idle, stream, call, chunk = (float(cell.split()[0]) for cell in row.split("|"))
    return Figures(idle * 2**20, stream * 2**10, call / 1000, chunk / 1000)


def quantity(text: str) -> float:
    """Return a quantity of Kubernetes', in cores or bytes."""
    number, unit = re.fullmatch(r"([0-9.]+)([A-Za-z]*)", text).groups()  # type: ignore[union-attr]
    return float(number) * _UNITS[unit]


@pytest.mark.parametrize("place", [it for it in KUSTOMIZATIONS if it != LOCAL_MODEL])
@pytest.mark.parametrize("process", ["service", "gateway"])
def test_requests_are_what_the_planned_load_takes_and_not_much_more(
    place: str, process: str
) -> None:
    streams, share = _autoscaler()
    took = measured(process)
    cpu = (
        took.call * CALLS_A_SECOND + took.chunk * CHUNKS_A_SECOND * streams
    ) / share  # so that CPU and streams ask for another pod at the same load
    memory = MEMORY_TO_SPARE * (took.idle + took.stream * streams)
    asked = containers(kustomized(place))[process]["resources"]
    assert cpu <= quantity(asked["requests"]["cpu"]) <= 1.25 * cpu
    assert memory <= quantity(asked["requests"]["memory"]) <= 2 * memory
    assert quantity(asked["limits"]["memory"]) >= 2 * quantity(asked["requests"]["memory"])
    assert "cpu" not in asked["limits"]


def _autoscaler() -> tuple[int, float]:
    """Return how many streams a pod is to have, and which share of the CPU that it asks for."""
    pods, resource = of_kind(kustomized("base"), "HorizontalPodAutoscaler")["spec"]["metrics"]
    share = resource["resource"]["target"]["averageUtilization"] / 100
    return int(pods["pods"]["target"]["averageValue"]), share
