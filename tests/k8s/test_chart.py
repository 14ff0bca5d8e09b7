"""The Helm chart renders what the kustomizations do, and refuses values that mean nothing."""

from __future__ import annotations

import subprocess
from typing import Any

import kubernetes_validate
import pytest
import yaml

from tests.support.kubernetes import K8S, KUSTOMIZATIONS, Object, kustomized, program, templated

CHART = K8S / "chart"


def _values(place: str) -> tuple[str, ...]:
    name = place.rpartition("/")[2]
    return () if name == "base" else ("--values", str(CHART / f"values-{name}.yaml"))


def _comparable(objects: tuple[Object, ...]) -> dict[tuple[str, str], Any]:
    """The objects by kind and name, without what only one of the tools adds."""
    found = {}
    for one in objects:
        metadata = one["metadata"]
        annotations = {
            key: value
            for key, value in metadata.get("annotations", {}).items()
            if not key.startswith("helm.sh/")
        }
        bare = {key: value for key, value in metadata.items() if key != "annotations"}
        data = {key: yaml.safe_load(text) for key, text in one.get("data", {}).items()}
        found[one["kind"], metadata["name"]] = (
            one | {"metadata": bare | annotations} | ({"data": data} if data else {})
        )
    return {name: _in_order(one) for name, one in found.items()}


def _in_order(value: Any) -> Any:
    """The value with its named lists in an order that does not depend on the tool."""
    if isinstance(value, dict):
        return {
            key: _in_order(sorted(inner, key=lambda one: one["name"]))
            if key in ("volumes", "volumeMounts", "env")
            else _in_order(inner)
            for key, inner in value.items()
        }
    return [_in_order(inner) for inner in value] if isinstance(value, list) else value


@pytest.mark.parametrize("place", KUSTOMIZATIONS)
def test_the_chart_renders_what_the_kustomization_does(place: str) -> None:
    ours, charts = _comparable(kustomized(place)), _comparable(templated(*_values(place)))

    assert charts.keys() == ours.keys()
    for name, one in ours.items():
        assert charts[name] == one, name


def test_kubernetes_knows_every_field_that_values_lead_to() -> None:
    for one in templated(
        "--set=image.tag=x,image.pullPolicy=Always,secretName=other,drain=600,migrate=true",
        "--set=data.kind=claim,data.size=5Gi,localModel=m,networkPolicy.egressPorts={8443}",
        "--set=gateway.env.OTEL_EXPORTER_OTLP_ENDPOINT=http://otel:4318",
    ):
        kubernetes_validate.validate(one, "1.37", strict=True)
        if one["kind"] == "Deployment":
            pod = one["spec"]["template"]["spec"]
            assert pod["terminationGracePeriodSeconds"] == 1230
            assert pod["containers"][0]["image"] == "llmbase:x"
            traces = {"name": "OTEL_EXPORTER_OTLP_ENDPOINT", "value": "http://otel:4318"}
            assert pod["containers"][0]["env"] == [traces]


def test_what_is_turned_off_is_not_there() -> None:
    objects = templated("--set=autoscaling.enabled=false,networkPolicy.enabled=false")

    assert not {"HorizontalPodAutoscaler", "NetworkPolicy"} & {one["kind"] for one in objects}


@pytest.mark.parametrize(
    "wrong",
    [
        "replica=2",
        "replicas=two",
        "strategy=Rolling",
        "data.kind=disk",
        "networkPolicy.egressPorts={0}",
        "image.tag=a:b",
        "gateway.cpu=1",
        "gateway.env=x",
        "configuration=",
    ],
)
def test_values_that_mean_nothing_are_refused(wrong: str) -> None:
    command = [program("helm"), "template", "llmbase", str(CHART), "--set", wrong]
    done = subprocess.run(command, capture_output=True, text=True, check=False)

    assert done.returncode != 0
    assert "schema" in done.stderr


@pytest.mark.parametrize("place", KUSTOMIZATIONS)
def test_helm_finds_nothing_to_say(place: str) -> None:
    command = [program("helm"), "lint", "--strict", str(CHART), *_values(place)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)

    assert done.returncode == 0, done.stdout + done.stderr
