"""Each store in turn: what must hold of money must hold on both."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.support.postgres import Postgres


@pytest.fixture(params=["sqlite", "postgresql"])
def store_url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """A fresh database, without tables."""
    if request.param == "sqlite":
        return f"sqlite:///{tmp_path / 'llmbase.db'}"
    postgres: Postgres = request.getfixturevalue("postgres")
    return postgres.new_database()
