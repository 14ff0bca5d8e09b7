"""Where the material that is not part of the project lies: recordings, nasty inputs, schemas.

`LLMBASE_SHARED` names the directory; by default it is expected beside the project. It is read in
place; tests that need it and do not find it say so.
"""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

from tests.support.parts import require_part

PROJECT = Path(__file__).resolve().parents[2]
MISSING = "shared material is missing: set LLMBASE_SHARED to its directory"


def shared_path(*parts: str) -> Path:
    """The path of a piece of shared material, whether or not it is there."""
    root = Path(os.environ.get("LLMBASE_SHARED", PROJECT.parent / "shared"))
    return root.joinpath(*parts)


def require_shared(*parts: str) -> Path:
    """The path of a piece of shared material; skips the test (or fails it) when it is absent."""
    path = shared_path(*parts)
    require_part(path.exists(), f"{MISSING} ({'/'.join(parts)})")
    return path


def shared_json(*parts: str) -> Any:
    """The content of a shared JSON file; skips the test (or fails it) when it is absent."""
    return json.loads(require_shared(*parts).read_text(encoding="utf-8"))


def shared_names(*parts: str, pattern: str) -> list[str]:
    """Names below a shared directory that match `pattern`, relative to it, for parametrizing.

    Without the directory it is one empty name, so that there is a test left to say what is missing.
    """
    root = shared_path(*parts)
    return sorted(str(path.relative_to(root)) for path in root.glob(pattern)) or [""]
