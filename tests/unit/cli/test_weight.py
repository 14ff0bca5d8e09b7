"""What starting costs: only what is needed is imported, and the command itself needs little.

Modules are counted, not seconds: those are the machine's.
"""

from __future__ import annotations

import subprocess
import sys

import pytest

# Clouds' own libraries, the local model's engine, what installs it, and what only tests need.
HEAVY = {
    *("botocore", "google.auth", "azure", "xllamacpp", "pip", "requests", "httpx", "numpy"),
    *("openai", "pytest", "hypothesis", "jsonschema", "tests", "conformance"),
}


def imported_by(statement: str) -> set[str]:
    script = f"{statement}\nimport sys\nprint(*sys.modules, file=sys.stderr)"
    done = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, check=True, timeout=60
    )
    return set(done.stderr.split())


@pytest.mark.parametrize(
    "module", ["cli.__main__", "cli.up", "cli.chat", "service.process", "gateway.process"]
)
def test_what_only_some_providers_need_is_not_imported(module: str) -> None:
    assert imported_by(f"import {module}") & HEAVY == set()


@pytest.mark.parametrize("command", ["--help", "--version"])
def test_the_command_alone_needs_neither_grpc_nor_http(command: str) -> None:
    found = imported_by(
        "from cli.__main__ import main\n"
        f"try: main([{command!r}], prog_name='llmbase')\n"
        "except SystemExit: pass"
    )
    assert not found & {"grpc", "aiohttp", "pydantic", "service", "gateway"}


@pytest.mark.parametrize("module", ["gateway.process", "cli.gateway"])
def test_a_gateway_of_its_own_loads_nothing_of_the_service(module: str) -> None:
    found = imported_by(f"import {module}")
    assert not found & {"pydantic", "yaml", "sqlalchemy", "platformdirs"}
    ours = {name for name in found if name.partition(".")[0] == "service"}
    assert ours <= {"service", "service.mendable"}
