"""Recorded answers of providers, and what an independent reader saw in them."""

from __future__ import annotations

import json
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from tests.support.scripts import Framing, Piece, Script
from tests.support.shared import require_shared, shared_names, shared_path

_NOT_THE_BODYS = ("content-length", "content-encoding", "transfer-encoding", "connection")


@dataclass(frozen=True)
class Recording:
    """One recorded answer."""

    path: Path

    @cached_property
    def meta(self) -> dict[str, Any]:
        meta: dict[str, Any] = json.loads((self.path / "meta.json").read_text(encoding="utf-8"))
        return meta

    @cached_property
    def body(self) -> bytes:
        file: str = self.meta["response_file"]
        return (self.path / file).read_bytes()

    @property
    def streamed(self) -> bool:
        return bool(self.meta["stream"])

    @property
    def status(self) -> int:
        return int(self.meta["status"])

    @property
    def expect(self) -> dict[str, Any]:
        """What is in the bytes: text, reasoning, tool calls, finish, usage, errors."""
        expect: dict[str, Any] = self.meta["expect"]
        return expect

    def script(self, *pieces: Piece) -> Script:
        """The answer as it was recorded, or with these pieces as its body."""
        recorded = self.meta["response_headers"].items()
        headers = {name: value for name, value in recorded if name.lower() not in _NOT_THE_BODYS}
        framing = Framing.CHUNKED if self.streamed or pieces else Framing.LENGTH
        return Script(pieces or [self.body], self.status, headers, framing)


def recording(name: str) -> Recording:
    """The recording of that name; skips the test (or fails it) when there is none."""
    return Recording(require_shared("traffic", name))


def recorded_chats() -> list[str]:
    """Names of all recorded chats in OpenAI's format; one empty name where there are none."""
    return recorded_in("openai")


def recorded_in(*dialects: str) -> list[str]:
    """Names of all recorded chats in these dialects; one empty name where there are none."""
    names = shared_names("traffic", pattern="*/*/meta.json")
    cases = [name.removesuffix("/meta.json") for name in names]
    return [
        name
        for name in cases
        if not name or (_at(name).meta["kind"] == "chat" and _at(name).meta["dialect"] in dialects)
    ]


def recorded_streams(at_most: int | None = None) -> list[str]:
    """Names of the recorded streams; with a limit, of those up to so many bytes."""
    return [
        name
        for name in recorded_chats()
        if not name
        or (_at(name).streamed and (at_most is None or _at(name).meta["response_bytes"] <= at_most))
    ]


def _at(name: str) -> Recording:
    return Recording(shared_path("traffic", name))
