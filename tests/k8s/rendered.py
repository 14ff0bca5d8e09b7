"""`python -m tests.k8s.rendered DIR` writes what every kustomization renders, for checkov."""

from __future__ import annotations

import sys
from pathlib import Path

import yaml

from tests.support.kubernetes import KUSTOMIZATIONS, kustomized


def write(directory: Path) -> None:
    """Write one file for each kustomization."""
    directory.mkdir(parents=True, exist_ok=True)
    for place in KUSTOMIZATIONS:
        path = directory / f"{place.replace('/', '-')}.yaml"
        path.write_text(yaml.safe_dump_all(kustomized(place)))


if __name__ == "__main__":
    write(Path(sys.argv[1]))
