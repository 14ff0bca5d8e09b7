"""A wheel in a fresh environment, without the checkout: what a user has after `pip install`."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.support.local_model import require_local_model
from tests.support.parts import require_part

ROOT = Path(__file__).parents[2]

_ANY_PORTS = ("--http", "127.0.0.1:0", "--grpc", "127.0.0.1:0")

pytestmark = [pytest.mark.matrix, pytest.mark.timeout(600)]


def _done(*command: str | Path, cwd: Path, **more) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [str(part) for part in command],
        capture_output=True,
        text=True,
        cwd=cwd,
        check=False,
        **more,
    )


@pytest.fixture(scope="module")
def installed(tmp_path_factory):
    """Return the scripts' directory of a fresh environment that has the wheel and nothing local."""
    directory = tmp_path_factory.mktemp("wheel")
    built = _done(
        sys.executable, "-m", "pip", "wheel", "--no-deps", "--wheel-dir", directory, ROOT, cwd=ROOT
    )
    require_part(built.returncode == 0, f"no wheel can be built: {built.stderr[-300:]}")
    (wheel,) = directory.glob("llmbase-*.whl")
    assert _done(sys.executable, "-m", "venv", directory / "env", cwd=directory).returncode == 0
    scripts = directory / "env" / "bin"
    constraints = ROOT / "constraints.txt"
    done = _done(scripts / "pip", "install", "--constraint", constraints, wheel, cwd=directory)
    assert done.returncode == 0, done.stderr
    return scripts


def test_a_store_can_be_made_from_the_wheel_alone(installed, tmp_path):
    environment = os.environ | {"XDG_DATA_HOME": str(tmp_path)}
    done = _done(installed / "llmbase", "migrate", cwd=tmp_path, env=environment)
    assert done.returncode == 0, done.stderr
    assert (tmp_path / "llmbase" / "llmbase.db").is_file()


def test_the_contract_and_its_types_are_in_the_wheel(installed, tmp_path):
    code = (
        "import llmbase.v1, pathlib; from llmbase.v1 import chat_completion_pb2_grpc;"
        "folder = pathlib.Path(llmbase.v1.__path__[0]);"
        "assert 'site-packages' in str(folder);"
        "assert (folder / 'py.typed').exists();"
        "assert (folder / 'chat_completion_pb2.pyi').exists()"
    )
    done = _done(installed / "python", "-c", code, cwd=tmp_path)
    assert done.returncode == 0, done.stderr


def test_without_the_local_extra_up_says_in_one_line_what_to_install(installed, tmp_path):
    done = _done(installed / "llmbase", "up", cwd=tmp_path, timeout=60)
    assert done.returncode == 1
    assert done.stderr.count("\n") == 1
    assert "pip install 'llmbase[local]'" in done.stderr


def test_up_serves_a_configuration(installed, tmp_path):
    config = tmp_path / "llmbase.yaml"
    config.write_text(
        "providers: {acme: {dialect: openai, base_url: 'http://127.0.0.1:1/v1'}}\n"
        "models: {acme/*: {targets: [{provider: acme}]}}\n"
    )
    up = subprocess.Popen(
        [installed / "llmbase", "up", "--config", config, *_ANY_PORTS],
        stdout=subprocess.PIPE,
        text=True,
        cwd=tmp_path,
    )
    try:
        assert up.stdout.readline().startswith("ready http://127.0.0.1:")
    finally:
        up.terminate()
        assert up.wait(15) == 0
        up.stdout.close()


def test_with_the_local_extra_up_answers_with_the_model_and_its_curl_line_works(
    installed, tmp_path
):
    require_local_model()
    constraints = ROOT / "constraints.txt"
    done = _done(
        installed / "pip", "install", "--constraint", constraints, "xllamacpp", "pip", cwd=tmp_path
    )
    assert done.returncode == 0, done.stderr
    environment = {k: v for k, v in os.environ.items() if k != "LLMBASE_API_KEY"}
    up = subprocess.Popen(
        [installed / "llmbase", "up", *_ANY_PORTS],
        stdout=subprocess.PIPE,
        text=True,
        cwd=tmp_path,
        env=environment,
    )
    try:
        assert up.stdout.readline().startswith("ready http://127.0.0.1:")
        curl = up.stdout.readline()
        assert curl.startswith("curl ")
        said = _done("sh", "-c", curl, cwd=tmp_path, timeout=60)
        assert said.stdout.startswith("data: {")
        assert said.stdout.endswith("data: [DONE]\n\n")
    finally:
        up.terminate()
        assert up.wait(15) == 0
        up.stdout.close()
