"""The README's examples, verbatim but for the ports, against `llmbase up` with the local model."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from tests.support.javascript import node_directory
from tests.support.local_model import require_local_model
from tests.support.processes import running

pytestmark = pytest.mark.local_model

ROOT = Path(__file__).parents[2]
KEY = "llmbase_a-key-of-the-readers-own-choice-0123"


@pytest.fixture(scope="module")
def readme(tmp_path_factory):
    """Return the README with the ports of a running `llmbase up`."""
    require_local_model()
    directory = tmp_path_factory.mktemp("readme")
    at = ("--http", "127.0.0.1:0", "--grpc", "127.0.0.1:0")
    with running("up", *at, directory=directory, environment={"LLMBASE_API_KEY": KEY}) as up:
        http, _, grpc = up.wait_until_ready()
        text = (ROOT / "README.md").read_text()
        yield text.replace("http://127.0.0.1:8080", http).replace("127.0.0.1:50051", grpc)


def _block(readme: str, heading: str, language: str) -> str:
    section = readme.partition(f"\n### {heading}\n")[2].partition("\n## ")[0].partition("\n### ")[0]
    (block,) = re.findall(rf"```{language}\n(.*?)```", section, re.DOTALL)
    return block


def _output(*command: str, cwd: Path | None = None) -> str:
    done = subprocess.run(
        command,
        capture_output=True,
        text=True,
        timeout=100,
        cwd=cwd,
        env={**os.environ, "LLMBASE_API_KEY": KEY},
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_the_curl_example_streams_an_answer(readme):
    said = _output("sh", "-c", _block(readme, "curl", "sh"))
    assert said.startswith("data: {")
    assert said.endswith("data: [DONE]\n\n")
    assert '"usage":{' in said


def test_the_openai_sdk_example_prints_an_answer(readme):
    code = _block(readme, "Python, with the OpenAI SDK", "python")
    assert _output(sys.executable, "-c", code).strip()


def test_the_grpc_example_prints_an_answer_and_its_tokens(readme):
    said = _output(sys.executable, "-c", _block(readme, "Python, over gRPC", "python"))
    assert re.search(r"\S.*\n\d+ tokens\n$", said, re.DOTALL)


def test_the_javascript_example_prints_an_answer(readme, tmp_path):
    modules = node_directory()
    script = tmp_path / "example.mjs"
    script.write_text(_block(readme, "JavaScript, with the OpenAI SDK", "javascript"))
    (tmp_path / "node_modules").symlink_to(modules / "node_modules")
    assert _output("node", str(script), cwd=tmp_path).strip()


def test_the_terminal_examples_answer(readme):
    address = re.search(r"insecure_channel\(\"(.+?)\"\)", readme)[1]
    for line in _block(readme, "In the terminal", "sh").splitlines():
        arguments = line.removeprefix(".venv/bin/llmbase ").replace('"', "").split(" ", 1)
        assert _output(sys.executable, "-m", "cli", arguments[0], "--grpc", address, *arguments[1:])


def test_the_accounts_examples_make_one_and_a_key(readme):
    address = re.search(r"insecure_channel\(\"(.+?)\"\)", readme)[1]
    create, key, usage = _block(readme, "Accounts and keys", "sh").splitlines()
    said = [
        _output(sys.executable, "-m", "cli", *line.split()[1:], "--grpc", address)
        for line in (create, key, usage)
    ]
    assert said[0] == "acme: made, 25.00 USD\n"
    assert re.fullmatch(r"llmbase_[A-Za-z0-9_-]{43}\n", said[1])


def test_the_first_configuration_is_a_good_one(tmp_path):
    text = (ROOT / "README.md").read_text().partition("## Your own providers")[2]
    config = tmp_path / "llmbase.yaml"
    config.write_text(re.search(r"```yaml\n(.*?)```", text, re.DOTALL)[1])
    done = subprocess.run(
        [sys.executable, "-m", "cli", "check", str(config)],
        capture_output=True,
        text=True,
        env={**os.environ, "ACME_API_KEY": "k"},
        check=False,
    )
    assert done.returncode == 0, done.stderr
