"""Prometheus' own tool, which checks pages, rules and tests of rules."""

from __future__ import annotations

import shutil
import subprocess

from tests.support.parts import require_part

_MISSING = "promtool is missing (Debian's package prometheus has it)"


def promtool(*arguments: str, page: bytes = b"") -> None:
    """Run it; the test fails with what it says unless it is content."""
    program = shutil.which("promtool")
    require_part(program, _MISSING)
    assert program is not None
    command = [program, *arguments]
    done = subprocess.run(command, check=False, input=page, capture_output=True, timeout=60)
    told = (done.stdout + done.stderr).decode()
    assert done.returncode == 0, told
    if arguments[:2] == ("check", "metrics"):
        assert not told.strip(), told
