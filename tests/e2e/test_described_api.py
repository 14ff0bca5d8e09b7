"""schemathesis reads /openapi.json and asks a real process what it allows, and what it forbids."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from tests.support import config as configuration
from tests.support import deployments
from tests.support.config import KEY
from tests.support.openai_wire import says
from tests.support.scripted_upstream import ScriptedUpstream

pytestmark = [pytest.mark.matrix, pytest.mark.timeout(600)]

_CHECKS = (
    "not_a_server_error",
    "status_code_conformance",
    "content_type_conformance",
    "response_headers_conformance",
    "response_schema_conformance",
    "negative_data_rejection",
    "unsupported_method",
    "ignored_auth",
)


# An id that leads somewhere; what is not said here is made up.
_CONFIG = """
[parameters]
"path.id" = "zai-org/glm-5"
"""


def test_a_stranger_that_knows_only_the_description_finds_no_fault(tmp_path: Path) -> None:
    with ScriptedUpstream().in_thread() as upstream:
        upstream.otherwise(says("Hello"))
        settings = configuration.standard(upstream)
        del settings["store"]  # whoever asks for a balance is to find one
        with deployments.one_process(upstream, tmp_path, settings) as up:
            done = _schemathesis(f"{up.http}/openapi.json", tmp_path)
            log = up.log

    assert done.returncode == 0, done.stdout + done.stderr
    assert '"level":"error"' not in log


def _schemathesis(url: str, directory: Path) -> subprocess.CompletedProcess[str]:
    """Run it with the same examples every time."""
    config = directory / "schemathesis.toml"
    config.write_text(_CONFIG)
    program = Path(sys.executable).with_name("schemathesis")
    command = [program, "--config-file", config, "run", url]
    options = {
        "--header": f"Authorization: Bearer {KEY}",
        "--checks": ",".join(_CHECKS),
        "--phases": "examples,coverage,fuzzing",
        "--max-examples": "50",
        "--suppress-health-check": "filter_too_much",  # few of any texts are paths
    }
    flags = [word for option in options.items() for word in option]
    return subprocess.run(
        [*command, *flags, "--generation-deterministic", "--no-color"],
        capture_output=True,
        text=True,
        cwd=directory,
        check=False,
    )
