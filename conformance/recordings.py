"""Recorded answers of providers, and what an independent reader saw in them."""

from __future__ import annotations

import json
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from conformance.upstream.scripts import Framing, Piece, Script

# The bytes are kept decompressed and without their framing, so these would not be true.
_NOT_THE_BODYS = ("content-length", "content-encoding", "transfer-encoding", "connection")


@dataclass(frozen=True)
class Recording:
    """One recorded answer: a directory `<provider>/<case>`."""

    path: Path

    @property
    def name(self) -> str:
        """`<provider>/<case>`."""
        return f"{self.path.parent.name}/{self.path.name}"

    @cached_property
    def meta(self) -> dict[str, Any]:
        """What is noted beside the bytes."""
        meta: dict[str, Any] = json.loads((self.path / "meta.json").read_text(encoding="utf-8"))
        return meta

    @cached_property
    def body(self) -> bytes:
        """The bytes of the answer's body."""
        file: str = self.meta["response_file"]
        return (self.path / file).read_bytes()

    @property
    def provider(self) -> str:
        """Whose answer it is."""
        return self.path.parent.name

    @property
    def dialect(self) -> str:
        """The wire format; Vertex AI's is Gemini's, below other URLs."""
        return "vertex" if self.provider == "vertex" else str(self.meta["dialect"])

    @property
    def streamed(self) -> bool:
        """Whether the answer is a stream."""
        return bool(self.meta["stream"])

    @property
    def status(self) -> int:
        """The HTTP status it came with."""
        return int(self.meta["status"])

    @property
    def expect(self) -> dict[str, Any]:
        """What is in the bytes: text, reasoning, tool calls, finish, usage, errors."""
        expect: dict[str, Any] = self.meta["expect"]
        return expect

    @property
    def headers(self) -> dict[str, str]:
        """The headers it came with, but for those that describe how the body travelled."""
        recorded = self.meta["response_headers"].items()
        return {name: value for name, value in recorded if name.lower() not in _NOT_THE_BODYS}

    def script(self, *pieces: Piece) -> Script:
        """The answer as it was recorded, or with these pieces as its body."""
        framing = Framing.CHUNKED if self.streamed or pieces else Framing.LENGTH
        return Script(pieces or [self.body], self.status, self.headers, framing)


def all_chats(traffic: Path) -> list[Recording]:
    """Every recorded chat below the directory, by name; lists of models are no chats."""
    found = [Recording(path.parent) for path in sorted(traffic.glob("*/*/meta.json"))]
    return [recording for recording in found if recording.meta["kind"] == "chat"]
