"""Real exchanges with providers, recorded by others: what came, and what it says."""

from __future__ import annotations

import json
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from tests.support.shared import require_shared, shared_path


@dataclass(frozen=True)
class Recording:
    """One recorded answer, by `<provider>/<case>`."""

    name: str

    @cached_property
    def meta(self) -> dict[str, Any]:
        found: dict[str, Any] = json.loads(self._path("meta.json").read_bytes())
        return found

    @property
    def expect(self) -> dict[str, Any]:
        """What an independent decoder read out of it."""
        found: dict[str, Any] = self.meta["expect"]
        return found

    @property
    def status(self) -> int:
        status: int = self.meta["status"]
        return status

    @property
    def body(self) -> bytes:
        return self._path(self.meta["response_file"]).read_bytes()

    def _path(self, file: str) -> Path:
        return require_shared("traffic", *self.name.split("/"), file)


def names(dialect: str, *, streamed: bool | None = None) -> list[str]:
    """The chats in one dialect; without the recordings a single empty name, for a test to skip."""
    found = []
    for path in sorted(shared_path("traffic").glob("*/*/meta.json")):
        meta = json.loads(path.read_bytes())
        is_stream = meta["response_file"].endswith(".sse")
        if meta["dialect"] == dialect and meta["kind"] == "chat" and streamed in (None, is_stream):
            found.append(f"{path.parent.parent.name}/{path.parent.name}")
    return found or [""]
