"""Every kustomization is what Kubernetes takes, keeps its own rules, and starts what there is."""

from __future__ import annotations

from pathlib import Path

import click
import kubernetes_validate
import pytest
import yaml

from cli.__main__ import main
from service.config import Config
from service.config_file import parse
from service.server import SERVICES
from tests.support.kubernetes import (
    K8S,
    KUSTOMIZATIONS,
    Object,
    containers,
    kustomized,
    of_kind,
)

VERSIONS = ("1.30", "1.37")  # the oldest that will do, and the newest whose schemas are at hand
ENVIRONMENT = {
    "OPENAI_API_KEY": "k",
    "LLMBASE_KEY_SHA256": "0" * 64,
    "DATABASE_URL": "postgresql://user:password@host/name",
    "VALKEY_URL": "rediss://host:6379/0",
}


@pytest.fixture(params=KUSTOMIZATIONS)
def objects(request: pytest.FixtureRequest) -> tuple[Object, ...]:
    """The objects of each kustomization in turn."""
    return kustomized(request.param)


def _pods(objects: tuple[Object, ...]) -> list[Object]:
    return [one["spec"]["template"] for one in objects if one["kind"] in ("Deployment", "Job")]


def _all_containers(objects: tuple[Object, ...]) -> list[Object]:
    specs = [pod["spec"] for pod in _pods(objects)]
    return [one for spec in specs for one in (*spec.get("initContainers", ()), *spec["containers"])]


def _config(objects: tuple[Object, ...]) -> Config:
    return parse(of_kind(objects, "ConfigMap")["data"]["llmbase.yaml"], ENVIRONMENT)


@pytest.mark.parametrize("version", VERSIONS)
def test_kubernetes_knows_every_field(objects: tuple[Object, ...], version: str) -> None:
    for one in objects:
        kubernetes_validate.validate(one, version, strict=True)


def test_a_field_that_kubernetes_does_not_know_would_be_found() -> None:
    wrong = of_kind(kustomized("base"), "Service") | {"spec": {"porst": []}}

    with pytest.raises(kubernetes_validate.ValidationError):
        kubernetes_validate.validate(wrong, VERSIONS[-1], strict=True)


def test_the_configuration_is_one_that_llmbase_takes(objects: tuple[Object, ...]) -> None:
    assert _config(objects).server.metrics == "0.0.0.0:9464"


def test_every_container_starts_a_command_that_there_is(objects: tuple[Object, ...]) -> None:
    context = click.Context(main)
    for container in _all_containers(objects):
        name, *arguments = container["args"]
        command = main.get_command(context, name)
        if isinstance(command, click.Group):
            name, *arguments = arguments
            command = command.get_command(context, name)

        assert command is not None, name
        command.make_context(name, arguments, context)  # UsageError, if it did not know them


def test_the_last_call_ends_before_the_pod_does(objects: tuple[Object, ...]) -> None:
    pod = of_kind(objects, "Deployment")["spec"]["template"]["spec"]
    gateway = containers(objects)["gateway"]
    before = gateway["lifecycle"]["preStop"]["sleep"]["seconds"]
    given = dict(word.split("=", 1) for word in gateway["args"] if "=" in word)
    server = _config(objects).server

    takes = before + float(given["--notice"]) + float(given["--drain"])
    takes += (server.notice or 0) + server.drain

    assert pod["terminationGracePeriodSeconds"] >= takes + 15


def test_the_service_is_there_before_the_gateway_and_until_after_it(
    objects: tuple[Object, ...],
) -> None:
    service = containers(objects)["service"]
    pod = of_kind(objects, "Deployment")["spec"]["template"]["spec"]

    assert service in pod["initContainers"] and service["restartPolicy"] == "Always"
    for probe in ("startupProbe", "readinessProbe", "livenessProbe"):
        assert service[probe]["grpc"]["port"] == 50051, "kubelets dial TCP only"
        assert service[probe]["grpc"].get("service", "") in ("", *SERVICES)


def test_both_containers_meet_at_one_socket(objects: tuple[Object, ...]) -> None:
    service, gateway = (containers(objects)[name] for name in ("service", "gateway"))
    socket = "unix:/run/llmbase/service.sock"
    mount = {"mountPath": "/run/llmbase", "name": "socket"}

    assert f"--grpc={socket}" in service["args"]
    assert f"--service={socket}" in gateway["args"]
    assert mount in service["volumeMounts"] and mount in gateway["volumeMounts"]


def test_no_pod_may_more_than_it_needs(objects: tuple[Object, ...]) -> None:
    for pod in _pods(objects):
        spec = pod["spec"]
        assert spec["automountServiceAccountToken"] is False
        assert spec["securityContext"]["runAsNonRoot"] is True
        assert spec["securityContext"]["runAsUser"] == 10001
        assert spec["securityContext"]["seccompProfile"] == {"type": "RuntimeDefault"}
    for container in _all_containers(objects):
        assert container["securityContext"] == {
            "allowPrivilegeEscalation": False,
            "readOnlyRootFilesystem": True,
            "capabilities": {"drop": ["ALL"]},
        }
        assert container["resources"]["requests"].keys() == {"cpu", "memory"}
        assert container["resources"]["limits"].keys() == {"memory"}


def test_services_and_budgets_find_the_pods_of_the_deployment_alone(
    objects: tuple[Object, ...],
) -> None:
    deployment, *others = _pods(objects)
    selectors = [
        *(one["spec"]["selector"] for one in objects if one["kind"] == "Service"),
        of_kind(objects, "Deployment")["spec"]["selector"]["matchLabels"],
        of_kind(objects, "PodDisruptionBudget")["spec"]["selector"]["matchLabels"],
        of_kind(objects, "NetworkPolicy")["spec"]["podSelector"]["matchLabels"],
    ]

    for selector in selectors:
        assert selector.items() <= deployment["metadata"]["labels"].items()
        assert not any(selector.items() <= pod["metadata"]["labels"].items() for pod in others)


def test_ports_are_named_as_services_name_them(objects: tuple[Object, ...]) -> None:
    named = {port["name"] for one in containers(objects).values() for port in one.get("ports", ())}
    asked = {
        port["targetPort"]
        for one in objects
        if one["kind"] == "Service"
        for port in one["spec"]["ports"]
    }

    assert asked <= named == {"grpc", "http", "metrics"}


def test_production_shares_its_stores_and_one_pod_has_a_file() -> None:
    production, embedded = kustomized("overlays/production"), kustomized("overlays/embedded")

    assert of_kind(production, "Deployment")["spec"]["replicas"] == 3
    assert _config(production).store is not None and _config(production).shared is not None
    assert of_kind(embedded, "Deployment")["spec"]["replicas"] == 1
    assert of_kind(embedded, "Deployment")["spec"]["strategy"] == {"type": "Recreate"}
    assert not [one for one in embedded if one["kind"] == "HorizontalPodAutoscaler"]


def test_what_is_kept_is_kept_on_a_volume(objects: tuple[Object, ...]) -> None:
    store = _config(objects).store
    if store is None:
        return
    places = [str(store.spool)]
    assert store.url is not None, "without one it is in the root file system, which is read-only"
    if store.url.get_secret_value().startswith("sqlite:"):
        places.append(store.url.get_secret_value().removeprefix("sqlite:///"))
    mounts = [mount["mountPath"] for mount in containers(objects)["service"]["volumeMounts"]]

    for place in places:
        assert any(place.startswith(f"{mount}/") for mount in mounts), place


def test_every_object_has_a_file_of_its_own() -> None:
    for path in [*K8S.glob("base/*.yaml"), *K8S.glob("overlays/*/*.yaml")]:
        assert len([*yaml.safe_load_all(path.read_text())]) == 1, path


@pytest.mark.parametrize("path", sorted((K8S / "examples").iterdir()), ids=lambda path: path.stem)
def test_an_example_is_what_kubernetes_takes_and_leads_where_something_is(path: Path) -> None:
    ours = {
        one["metadata"]["name"]: {port["port"] for port in one["spec"]["ports"]}
        for one in kustomized("base")
        if one["kind"] == "Service"
    }
    for one in yaml.safe_load_all(path.read_text()):
        if one.get("apiVersion") in ("v1", "networking.k8s.io/v1"):
            kubernetes_validate.validate(one, VERSIONS[-1], strict=True)
        for rule in one.get("spec", {}).get("rules", ()):
            for backend in rule.get("backendRefs", ()):
                assert backend["port"] in ours[backend["name"]]
