"""Starting when something is wrong: one line that names it, exit code 1, nothing left behind."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

CONFIG = """
providers: {acme: {dialect: openai, base_url: "http://127.0.0.1:1/v1"}}
models: {acme/*: {targets: [{provider: acme}]}}
"""


@pytest.fixture
def config(tmp_path: Path) -> Path:
    path = tmp_path / "llmbase.yaml"
    path.write_text(CONFIG)
    return path


@pytest.fixture
def taken() -> Iterator[str]:
    """An address that somebody listens on."""
    with socket.socket() as listening:
        listening.bind(("127.0.0.1", 0))
        listening.listen()
        yield f"127.0.0.1:{listening.getsockname()[1]}"


def _failed(*arguments: str) -> str:
    environment = {k: v for k, v in os.environ.items() if not k.startswith(("LLMBASE_", "GRPC_"))}
    done = subprocess.run(
        [sys.executable, "-m", "cli", *arguments],
        capture_output=True,
        text=True,
        timeout=60,
        env=environment,
        check=False,
    )
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr.count("\n") == 1, done.stderr
    return done.stderr


def test_a_port_that_there_is_not_does_not_become_another(config: Path) -> None:
    said = _failed("service", "--config", str(config), "--grpc", "127.0.0.1:99999")
    assert "127.0.0.1:99999" in said


@pytest.mark.parametrize("door", ["--http", "--grpc"])
def test_an_address_in_use_is_named(door: str, config: Path, taken: str) -> None:
    other = {"--http": "--grpc", "--grpc": "--http"}[door]
    said = _failed("up", "--config", str(config), door, taken, other, "127.0.0.1:0")
    assert taken in said


@pytest.mark.parametrize("door", ["--http", "--grpc"])
def test_what_is_no_address_is_named(door: str, config: Path) -> None:
    other = {"--http": "--grpc", "--grpc": "--http"}[door]
    assert "nowhere" in _failed("up", "--config", str(config), door, "nowhere", other, "[::1]:0")


def test_a_ca_file_that_is_not_there_is_named_by_its_key(config: Path) -> None:
    config.write_text(CONFIG.replace("openai,", "openai, ca_file: /nowhere/ca.pem,"))
    said = _failed("service", "--config", str(config), "--grpc", "127.0.0.1:0")
    assert "providers.acme.ca_file" in said


def test_a_service_that_is_not_there_is_named() -> None:
    assert "UNAVAILABLE" in _failed("chat", "--grpc", "127.0.0.1:1", "Hello")
