"""The one rule for tests that need a part which may be missing: skip, or fail where all is due."""

from __future__ import annotations

import os

import pytest


def require_part(condition: object, reason: str) -> None:
    """Go on only if `condition` holds.

    Otherwise the test is skipped with `reason`; where `LLMBASE_REQUIRE_PARTS=1` promises that
    every part is there, it fails instead, so that nothing is left out unseen.
    """
    if condition:
        return
    if os.environ.get("LLMBASE_REQUIRE_PARTS") == "1":
        pytest.fail(f"LLMBASE_REQUIRE_PARTS=1, but: {reason}", pytrace=False)
    pytest.skip(reason)
