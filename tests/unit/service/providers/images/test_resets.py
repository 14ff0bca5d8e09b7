"""A host of a caller's choice cannot harm what others fetch, nor the process."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

from tests.unit.service.providers.images import resets


def test_a_host_that_resets_its_connections_harms_no_other(tmp_path: Path) -> None:
    command = [sys.executable, "-m", resets.__name__, str(tmp_path)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=90, check=False)
    assert done.returncode == 0, done.stderr[-2000:]
