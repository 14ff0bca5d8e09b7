"""Hatch build hook: compiles proto/ into gen/, so that every install has fresh stubs.

Two projects use it: the product, and `stubs/`, which is what of it callers need.

protoc writes absolute imports from its -I root (`llmbase.v1...`), so gen/ is put on the path
whole: by a .pth file in an editable install, by the package `llmbase` in a wheel.
"""

from __future__ import annotations

import shutil
import sys
from pathlib import Path
from typing import Any

from hatchling.builders.hooks.plugin.interface import BuildHookInterface

PROTO = Path(__file__).resolve().parent


def compile_protos(gen: Path) -> None:
    """Write llmbase/ below `gen`: messages, gRPC stubs and their types (for mypy).

    Raises SystemExit.
    """
    # Hatch may load this file, for its metadata, where the compiler is not installed yet.
    from grpc_tools import _proto as bundled  # noqa: PLC0415
    from grpc_tools import protoc  # noqa: PLC0415

    shutil.rmtree(gen, ignore_errors=True)
    gen.mkdir()
    protos = sorted(str(p) for p in PROTO.rglob("*.proto"))
    code = protoc.main(
        [
            "protoc",
            f"-I{PROTO}",
            f"-I{next(iter(bundled.__path__))}",
            f"--plugin=protoc-gen-mypy={_program('protoc-gen-mypy')}",
            f"--plugin=protoc-gen-mypy_grpc={_program('protoc-gen-mypy_grpc')}",
            f"--python_out={gen}",
            f"--grpc_python_out={gen}",
            f"--mypy_out=quiet:{gen}",
            f"--mypy_grpc_out=quiet:{gen}",
            *protos,
        ]
    )
    if code != 0:
        raise SystemExit(f"protoc failed with exit code {code}")
    for folder in [path for path in gen.rglob("*") if path.is_dir()]:
        (folder / "__init__.py").touch()
        (folder / "py.typed").touch()


def _program(name: str) -> str:
    """Return where a plugin is: pip's build environments have theirs on the path, not beside us."""
    beside = str(Path(sys.executable).parent)
    found = shutil.which(name) or shutil.which(name, path=beside)
    if found is None:
        raise SystemExit(f"{name} is missing: pip install mypy-protobuf")
    return found


class ProtoBuildHook(BuildHookInterface[Any]):
    """Runs before every wheel (editable ones too) and sdist."""

    PLUGIN_NAME = "custom"

    def initialize(self, version: str, build_data: dict[str, Any]) -> None:
        """Compile, before the files of the build are looked for."""
        compile_protos(Path(self.root) / "gen")
