"""The providers as the gateway sees them: one base URL for each wire format of each provider.

Below a base URL one question is open at a time, so what is asked need not be told: the scripted
side answers every request there with the recording that is on.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from conformance.recordings import Recording
from conformance.upstream.scripted_upstream import ScriptedUpstream
from conformance.upstream.scripts import Request, Script

_MISSING = Script([b'{"error":{"message":"nothing is to be asked here now"}}'], status=501)


@dataclass(frozen=True)
class Lane:
    """One provider in one wire format, and all that was recorded of it."""

    name: str
    provider: str
    dialect: str
    recordings: tuple[Recording, ...]

    @property
    def model(self) -> str:
        """The model that is asked."""
        return f"{self.name}/conformance"

    @property
    def brisk_model(self) -> str:
        """The same provider with limits on silence that are shorter than the caller's patience."""
        return f"{self.name}/brisk"

    def base_url(self, root: str) -> str:
        """What the gateway has to be given; OpenAI's own form has the version in it."""
        return f"{root}/{self.name}/v1" if self.dialect == "openai" else f"{root}/{self.name}"


def lanes(recordings: Iterable[Recording]) -> list[Lane]:
    """Sort recordings into lanes. A provider's second wire format is named after the format."""
    found: dict[str, list[Recording]] = {}
    for recording in recordings:
        own = recording.dialect in ("openai", recording.provider)
        beside = recording.provider == "ollama" and recording.dialect == "openai"
        name = recording.provider if own and not beside else None
        found.setdefault(name or f"{recording.provider}-{recording.dialect}", []).append(recording)
    return [
        Lane(name, group[0].provider, group[0].dialect, tuple(group))
        for name, group in sorted(found.items())
    ]


class Stage:
    """What the scripted side answers at present, by lane."""

    def __init__(self, upstream: ScriptedUpstream) -> None:
        self._scripts: dict[str, Script] = {}
        self._asked: set[str] = set()
        upstream.otherwise(self._script)

    def put_on(self, lane: Lane, script: Script) -> None:
        """Answer every request in the lane so, until something else is put on."""
        self._scripts[lane.name] = script
        self._asked.discard(lane.name)

    def was_asked(self, lane: Lane) -> bool:
        """Whether a request came since then."""
        return lane.name in self._asked

    def _script(self, request: Request) -> Script:
        name = request.path.lstrip("/").partition("/")[0]
        self._asked.add(name)
        return self._scripts.get(name, _MISSING)
