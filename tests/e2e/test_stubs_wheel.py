"""The callers' wheel alone, in a fresh environment: it calls, and type checkers see its types."""

from __future__ import annotations

import os
import subprocess
import sys
import tomllib
import zipfile
from pathlib import Path

import pytest

from tests.support.config import KEY
from tests.support.deployments import Deployment
from tests.support.openai_wire import says
from tests.support.parts import require_part
from tests.support.scripted_upstream import ScriptedUpstream

ROOT = Path(__file__).parents[2]
STUBS = ROOT / "stubs"

pytestmark = [pytest.mark.matrix, pytest.mark.timeout(600)]


def _done(*command: str | Path, cwd: Path, **told: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        command,
        capture_output=True,
        text=True,
        cwd=cwd,
        env=os.environ | told,
        check=False,
    )


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The wheel, built as anybody would."""
    directory = tmp_path_factory.mktemp("stubs")
    command = (sys.executable, "-m", "pip", "wheel", "--no-deps", "--wheel-dir", directory, STUBS)
    built = _done(*command, cwd=directory)
    require_part(built.returncode == 0, f"no wheel can be built: {built.stderr[-300:]}")
    (made,) = directory.glob("llmbase_grpc-*.whl")
    return made


@pytest.fixture(scope="module")
def python(wheel: Path) -> Path:
    """The Python of a fresh environment that has the wheel, and what it asks for."""
    environment = wheel.parent / "env"
    assert _done(sys.executable, "-m", "venv", environment, cwd=wheel.parent).returncode == 0
    _install(environment / "bin" / "python", str(wheel))
    return environment / "bin" / "python"


def _install(python: Path, *what: str) -> None:
    constraints = ROOT / "constraints.txt"
    command = (python, "-m", "pip", "install", "--constraint", constraints, *what)
    done = _done(*command, cwd=python.parent)
    assert done.returncode == 0, done.stderr


def test_the_wheel_has_the_contract_and_nothing_else(wheel: Path) -> None:
    with zipfile.ZipFile(wheel) as archive:
        names = archive.namelist()

    code = {name for name in names if ".dist-info/" not in name}
    protos = {path.stem for path in (ROOT / "proto" / "llmbase" / "v1").glob("*.proto")}
    generated = {
        f"llmbase/v1/{proto}_{kind}"
        for proto in protos
        for kind in ("pb2.py", "pb2.pyi", "pb2_grpc.py", "pb2_grpc.pyi")
    }
    markers = {
        f"llmbase/{place}{name}" for place in ("", "v1/") for name in ("__init__.py", "py.typed")
    }
    assert code == generated | markers
    assert any(name.endswith("/LICENSE") for name in names)


def test_it_has_the_version_and_the_generators_of_the_product() -> None:
    ours, product = (
        tomllib.loads((place / "pyproject.toml").read_text()) for place in (STUBS, ROOT)
    )

    assert ours["project"]["version"] == product["project"]["version"]
    assert ours["build-system"] == product["build-system"]
    assert set(ours["project"]["dependencies"]) <= set(product["project"]["dependencies"])


def test_with_grpcio_and_protobuf_alone_a_call_is_answered(
    python: Path, one_process: Deployment, upstream: ScriptedUpstream
) -> None:
    listed = _done(python, "-m", "pip", "list", "--format=freeze", cwd=python.parent).stdout
    names = {line.partition("==")[0] for line in listed.split()} - {"pip", "setuptools"}
    assert names == {"llmbase-grpc", "grpcio", "protobuf", "typing_extensions"}
    upstream.on("glm-5", says("Hello"))

    told = {"LLMBASE_API_KEY": KEY, "LLMBASE_MODEL": "zai-org/glm-5"}
    example = ROOT / "examples" / "grpc_unary.py"
    done = _done(python, example, cwd=python.parent, LLMBASE_GRPC=one_process.grpc, **told)

    assert done.stdout.startswith("Hello\nFINISH_REASON_STOP, 15 tokens"), done.stderr


def test_a_type_checker_knows_every_message_and_both_kinds_of_stubs(
    python: Path, tmp_path: Path
) -> None:
    _install(python, "types-grpcio", "types-protobuf")
    (tmp_path / "caller.py").write_text(
        "import grpc\n"
        "from llmbase.v1 import chat_completion_pb2 as pb\n"
        "from llmbase.v1.chat_completion_pb2_grpc import ChatCompletionServiceStub\n"
        "def call(channel: grpc.Channel) -> str:\n"
        "    answer = ChatCompletionServiceStub(channel).CreateChatCompletion(\n"
        "        pb.ChatCompletionRequest(model='m', max_tokens=5)\n"
        "    )\n"
        "    return answer.model\n"
        "async def stream(channel: grpc.aio.Channel) -> int:\n"
        "    stub = ChatCompletionServiceStub(channel)\n"
        "    async for chunk in stub.StreamChatCompletion(pb.ChatCompletionRequest()):\n"
        "        return chunk.usage.total_tokens\n"
        "    return 0\n"
    )
    wrong = tmp_path / "wrong.py"
    wrong.write_text(
        "from llmbase.v1 import chat_completion_pb2 as pb\n"
        "pb.ChatCompletionRequest(model=5)\n"
        "pb.ChatCompletion().modle\n"
    )
    check = (sys.executable, "-m", "mypy", "--strict", "--python-executable", python)
    nothing = ("--config-file", os.devnull, "--cache-dir", tmp_path / "cache")

    good = _done(*check, *nothing, "caller.py", cwd=tmp_path)
    bad = _done(*check, *nothing, "wrong.py", cwd=tmp_path)

    assert good.returncode == 0, good.stdout
    assert '"model"' in bad.stdout and '"modle"' in bad.stdout, bad.stdout
