"""The built image, as a container and as the pod of the manifests: it needs no rights and no disk.

`make image-test` runs this with the engine and the image of `make image`.
"""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import socket
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.support import config as configuration
from tests.support.asking import hello
from tests.support.config import KEY
from tests.support.grpc_door import GrpcDoor
from tests.support.kubernetes import kustomized, of_kind
from tests.support.openai_wire import says
from tests.support.parts import require_part
from tests.support.rest_door import RestDoor
from tests.support.scripted_upstream import ScriptedUpstream

pytestmark = [pytest.mark.image, pytest.mark.timeout(300)]

ENGINE = os.environ.get("ENGINE") or shutil.which("podman") or shutil.which("docker") or ""
IMAGE = os.environ.get("IMAGE", "llmbase:0.1.0")
NO_RIGHTS = ("--read-only", "--cap-drop=all", "--security-opt=no-new-privileges")


def _engine(*arguments: str, stdin: str | None = None) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [ENGINE, *arguments], input=stdin, capture_output=True, text=True, check=False
    )


@pytest.fixture(scope="module", autouse=True)
def _image() -> None:
    require_part(ENGINE, "neither podman nor docker is installed")
    found = _engine("image", "inspect", IMAGE)
    require_part(found.returncode == 0, f"there is no image {IMAGE}: run `make image`")


def _free_ports(count: int) -> list[int]:
    with contextlib.ExitStack() as stack:
        sockets = [stack.enter_context(socket.socket()) for _ in range(count)]
        for one in sockets:
            one.bind(("127.0.0.1", 0))
        return [one.getsockname()[1] for one in sockets]


def _wait_until_healthy(container: str, http: int, grpc: int) -> None:
    """Wait until the container's own health check is content with the doors."""
    ask = ("exec", container, "llmbase", "health", "--http", f"127.0.0.1:{http}")
    until = time.monotonic() + 120
    while time.monotonic() < until:
        done = _engine(*ask, "--grpc", f"127.0.0.1:{grpc}")
        if done.returncode == 0:
            return
        time.sleep(0.5)
    raise AssertionError(f"{done.stdout}{done.stderr}{_engine('logs', container).stderr}")


async def _both_doors_answer(upstream: ScriptedUpstream, http: int, grpc: int) -> None:
    upstream.on("one", says("over REST"), says("over gRPC"))
    async with RestDoor(f"http://127.0.0.1:{http}", KEY) as rest:
        answer = await rest.ask(hello(stream=True))
        assert answer.choices[0].text == "over REST"
    async with GrpcDoor(f"127.0.0.1:{grpc}", KEY) as door:
        answer = await door.ask(hello())
        assert answer.choices[0].text == "over gRPC"


def test_it_is_run_by_somebody_without_rights_and_says_how_it_is() -> None:
    (facts,) = json.loads(_engine("image", "inspect", IMAGE).stdout)

    settings = facts["Config"]
    assert settings["User"] == "10001"
    assert settings["Entrypoint"] == ["llmbase"]
    assert '["CMD", "llmbase", "health"]' in json.dumps(facts)  # each engine has its own place


def test_what_is_in_it_is_listed() -> None:
    listed = _engine("run", "--rm", "--entrypoint=cat", IMAGE, "/opt/llmbase/sbom.cdx.json")

    sbom = json.loads(listed.stdout)
    names = {component["name"] for component in sbom["components"]}
    assert sbom["bomFormat"] == "CycloneDX"
    assert {"llmbase", "grpcio", "aiohttp", "xllamacpp"} <= names


async def test_up_answers_with_a_root_file_system_that_cannot_be_written(tmp_path: Path) -> None:
    http, grpc = _free_ports(2)
    with ScriptedUpstream().in_thread() as upstream:
        path = configuration.write(configuration.standard(upstream) | {"store": None}, tmp_path)
        path.chmod(0o644)
        name = f"llmbase-test-{os.getpid()}"
        run = ("run", "--detach", "--name", name, "--network=host", *NO_RIGHTS, "--tmpfs=/tmp")
        mount = f"--volume={path}:/etc/llmbase/llmbase.yaml:ro"
        at = ("--http", f"127.0.0.1:{http}", "--grpc", f"127.0.0.1:{grpc}")
        command = ("up", "--config", "/etc/llmbase/llmbase.yaml", *at)
        try:
            assert _engine(*run, mount, IMAGE, *command).returncode == 0
            _wait_until_healthy(name, http, grpc)
            await _both_doors_answer(upstream, http, grpc)

            assert _engine("stop", "--time=60", name).returncode == 0
            ended = _engine("inspect", "--format={{.State.ExitCode}}", name)
            assert ended.stdout.strip() == "0", _engine("logs", name).stderr
        finally:
            _engine("rm", "--force", name)


async def test_the_pod_of_the_manifests_answers_and_drains(tmp_path: Path) -> None:
    require_part(Path(ENGINE).name == "podman", "only podman plays Kubernetes' manifests")
    ports = _free_ports(3)
    with ScriptedUpstream().in_thread() as upstream, _played(upstream, tmp_path, ports) as pod:
        grpc, http, _ = ports
        _wait_until_healthy(f"{pod}-gateway", http, grpc)
        await _both_doors_answer(upstream, http, grpc)

        assert _engine("pod", "stop", "--time=60", pod).returncode == 0
        for name in ("gateway", "service"):
            ended = _engine("inspect", "--format={{.State.ExitCode}}", f"{pod}-{name}")
            assert ended.stdout.strip() == "0", _engine("logs", f"{pod}-{name}").stderr


@contextlib.contextmanager
def _played(upstream: ScriptedUpstream, directory: Path, ports: list[int]) -> Iterator[str]:
    """The base's pod, on the host's network; the name it has."""
    name = f"llmbase-test-{os.getpid()}"
    path = directory / "pod.yaml"
    path.write_text(yaml.safe_dump_all(_pod(name, upstream, ports)))
    try:
        done = _engine("kube", "play", "--network=host", str(path))
        assert done.returncode == 0, done.stderr
        yield name
    finally:
        _engine("kube", "down", str(path))


def _pod(name: str, upstream: ScriptedUpstream, ports: list[int]) -> list[dict[str, Any]]:
    """The rendered pod, as podman's: it knows no native sidecars, so both run side by side."""
    objects = kustomized("base")
    text = json.dumps(of_kind(objects, "Deployment")["spec"]["template"]["spec"])
    for given, free in zip(("50051", "8080", "9464"), ports, strict=True):
        text = text.replace(given, str(free))
    spec = json.loads(text)
    for field in ("topologySpreadConstraints", "serviceAccountName"):
        del spec[field]
    spec["containers"] += spec.pop("initContainers")
    spec["hostNetwork"] = True
    for container in spec["containers"]:
        container["image"] = IMAGE
        for field in ("restartPolicy", "ports", "envFrom", "startupProbe", "readinessProbe"):
            container.pop(field, None)
        del container["livenessProbe"]
    config = configuration.standard(upstream) | {"store": None}
    data = {"llmbase.yaml": yaml.safe_dump(config)}
    return [
        {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "llmbase"}, "data": data},
        {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": name}, "spec": spec},
    ]
