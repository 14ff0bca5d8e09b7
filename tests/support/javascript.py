"""Directories with packages for JavaScript in them, the OpenAI SDK above all; kept once made."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

from platformdirs import user_cache_path

from tests.support.parts import require_part

PACKAGE = "openai@7"


def node_directory(package: str = PACKAGE, *more: str) -> Path:
    """A directory whose `node_modules` has the packages; skips the test (or fails it) if none can.

    The first call fetches it from the registry that npm is configured for; later ones need no
    network.
    """
    require_part(shutil.which("node") and shutil.which("npm"), "node or npm is not installed")
    directory = user_cache_path("llmbase") / "tests" / package.replace("/", "-")
    name = package.rpartition("@")[0]
    if not (directory / "node_modules" / name / "package.json").exists():
        directory.mkdir(parents=True, exist_ok=True)
        command = ["npm", "install", "--no-audit", "--no-fund", "--prefix", str(directory)]
        done = subprocess.run(
            [*command, package, *more], capture_output=True, text=True, timeout=100, check=False
        )
        require_part(done.returncode == 0, f"npm cannot install {package}: {done.stderr[-300:]}")
    return directory
