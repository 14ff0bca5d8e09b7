"""`buf.gen.yaml` makes clients in four languages: what of it can be had offline is run here."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.support.javascript import node_directory

ROOT = Path(__file__).parents[3]
PLUGINS = "buf.build/"

# A plugin that writes down what it is told: what plugins for Go and Java would be told, too.
_SPY = """
import json, sys
from google.protobuf.compiler import plugin_pb2 as pb
asked = pb.CodeGeneratorRequest.FromString(sys.stdin.buffer.read())
told = {f.name: [f.options.go_package, f.options.java_package, f.options.java_multiple_files]
        for f in asked.proto_file if f.name in asked.file_to_generate}
answer = pb.CodeGeneratorResponse(supported_features=1)
answer.file.add(name="told.json", content=json.dumps(told))
sys.stdout.buffer.write(answer.SerializeToString())
"""


def _generate(out: Path, *plugins: dict[str, Any]) -> None:
    """Run buf with our template, but for its plugins."""
    template = yaml.safe_load((ROOT / "buf.gen.yaml").read_text()) | {"plugins": list(plugins)}
    command = [Path(sys.executable).with_name("buf"), "generate"]
    done = subprocess.run(
        [*command, "--template", json.dumps(template), "--output", out],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr


def _plugins() -> dict[str, dict[str, Any]]:
    """The template's plugins by their names."""
    plugins = yaml.safe_load((ROOT / "buf.gen.yaml").read_text())["plugins"]
    return {entry.pop("remote").removeprefix(PLUGINS): entry for entry in plugins}


def test_every_language_has_its_messages_and_its_stubs() -> None:
    assert {name: entry["out"] for name, entry in _plugins().items()} == {
        "protocolbuffers/python": "out/python",
        "protocolbuffers/pyi": "out/python",
        "grpc/python": "out/python",
        "protocolbuffers/go": "out/go",
        "grpc/go": "out/go",
        "bufbuild/es": "out/typescript",
        "protocolbuffers/java": "out/java",
        "grpc/java": "out/java",
    }


def test_python_is_generated_as_it_is_at_home(tmp_path: Path) -> None:
    here = [sys.executable, "-m", "grpc_tools.protoc"]
    _generate(
        tmp_path,
        *(
            entry | {"protoc_builtin": name.rpartition("/")[2], "protoc_path": here}
            for name, entry in _plugins().items()
            if name in ("protocolbuffers/python", "protocolbuffers/pyi")
        ),
    )

    made = tmp_path / "out" / "python" / "llmbase" / "v1"
    names = {path.stem for path in (ROOT / "proto" / "llmbase" / "v1").glob("*.proto")}
    assert {path.name for path in made.iterdir()} == {
        f"{name}_pb2.{kind}" for name in names for kind in ("py", "pyi")
    }
    code = "from llmbase.v1 import chat_completion_pb2 as pb; print(pb.ROLE_USER)"
    done = subprocess.run(
        [
            sys.executable,
            "-P",
            "-c",
            f"import sys; sys.path.insert(0, {str(made.parents[1])!r})\n{code}",
        ],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr


def test_go_and_java_are_told_their_packages(tmp_path: Path) -> None:
    spy = {"local": [sys.executable, "-c", _SPY], "out": "."}
    _generate(tmp_path, spy)

    told = json.loads((tmp_path / "told.json").read_text())
    packages = ["llmbase.ai/gen/go/llmbase/v1;llmbasev1", "ai.llmbase.v1", True]
    assert {name.rpartition("/")[0] for name in told} == {"llmbase/v1"}
    assert all(given == packages for given in told.values()), told


@pytest.mark.matrix
def test_typescript_is_generated_and_its_types_are_right(tmp_path: Path) -> None:
    modules = node_directory("@bufbuild/protoc-gen-es@2", "@bufbuild/protobuf@2", "typescript@5")
    programs = modules / "node_modules" / ".bin"
    _generate(tmp_path, _plugins()["bufbuild/es"] | {"local": str(programs / "protoc-gen-es")})

    made = tmp_path / "out" / "typescript"
    (made / "node_modules").symlink_to(modules / "node_modules")
    (made / "caller.ts").write_text(
        'import { create } from "@bufbuild/protobuf";\n'
        "import { ChatCompletionRequestSchema, ChatCompletionService } from"
        ' "./llmbase/v1/chat_completion_pb.js";\n'
        'export const asked = create(ChatCompletionRequestSchema, { model: "m", maxTokens: 5 });\n'
        "export const streamed = ChatCompletionService.method.streamChatCompletion.output;\n"
        "// @ts-expect-error a number is no model\n"
        "create(ChatCompletionRequestSchema, { model: 5 });\n"
    )
    flags = ["--noEmit", "--strict", "--module", "nodenext", "--target", "es2022", "--skipLibCheck"]
    done = subprocess.run(
        [programs / "tsc", *flags, "caller.ts"],
        cwd=made,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
