"""A directory with the OpenAI SDK for JavaScript in it, installed once and kept."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

from platformdirs import user_cache_path

from tests.support.parts import require_part

PACKAGE = "openai@7"


def node_directory() -> Path:
    """A directory whose `node_modules` has the SDK; skips the test (or fails it) if there is none.

    The first call fetches it from the registry that npm is configured for; later ones need no
    network.
    """
    require_part(shutil.which("node") and shutil.which("npm"), "node or npm is not installed")
    directory = user_cache_path("llmbase") / "tests" / PACKAGE
    if not (directory / "node_modules" / "openai" / "package.json").exists():
        directory.mkdir(parents=True, exist_ok=True)
        command = ["npm", "install", "--no-audit", "--no-fund", "--prefix", str(directory), PACKAGE]
        done = subprocess.run(command, capture_output=True, text=True, timeout=100, check=False)
        require_part(done.returncode == 0, f"npm cannot install {PACKAGE}: {done.stderr[-300:]}")
    return directory
