"""Starts llmbase, as its users do, with every lane of the scripted side as a provider."""

from __future__ import annotations

import contextlib
import hashlib
import json
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

from conformance.lanes import Lane
from conformance.processes import running

KEY = "llmbase_conformance-key-0123456789abcdef"  # opens a process that lives as long as the run

# Where a provider is set up in another way than by its name, its base URL and a key.
SETTINGS: dict[str, dict[str, Any]] = {
    "bedrock": {
        "credentials": {"region": "us-east-1", "access_key_id": "A", "secret_access_key": "S"},
        "api_key": None,
    },
    "vertex": {"project": "p", "location": "us-central1"},
}
_LIMITS = {"connect": "5s", "first_content": "60s", "idle": "60s", "total": "120s"}
_BRISK = _LIMITS | {"first_content": "1s", "idle": "1s"}
_FEATURES = ["tools", "json_mode", "structured_outputs", "reasoning", "logprobs"]


@contextlib.contextmanager
def llmbase(lanes: Iterable[Lane], root: str, directory: Path) -> Iterator[str]:
    """`llmbase up` before the scripted side at `root`; gives its base URL without /v1."""
    path = directory / "llmbase.yaml"
    path.write_text(json.dumps(configuration(lanes, root)), encoding="utf-8")  # JSON is YAML
    ports = ("--http", "127.0.0.1:0", "--grpc", "127.0.0.1:0")
    with running("up", "--config", str(path), *ports, directory=directory) as up:
        yield up.wait_until_ready()[0]


def configuration(lanes: Iterable[Lane], root: str) -> dict[str, Any]:
    """The configuration file: two providers and two models a lane, the second pair impatient."""
    providers: dict[str, Any] = {}
    models: dict[str, Any] = {}
    for lane in lanes:
        for name, model, limits in (
            (lane.name, lane.model, _LIMITS),
            (f"{lane.name}-brisk", lane.brisk_model, _BRISK),
        ):
            providers[name] = _provider(lane, root) | {
                "timeouts": limits,
                "breaker": {"enabled": False},  # every failure is wanted, however many there are
            }
            models[model] = {
                "targets": [{"provider": name, "model": "recorded"}],
                "supported_features": _FEATURES,
            }
    digest = hashlib.sha256(KEY.encode()).hexdigest()
    return {
        "providers": providers,
        "models": models,
        "keys": [{"name": "conformance", "sha256": digest}],
    }


def _provider(lane: Lane, root: str) -> dict[str, Any]:
    own = lane.dialect == "openai" and lane.provider != "ollama"
    settings: dict[str, Any] = {
        "dialect": lane.provider if own else lane.dialect,
        "base_url": lane.base_url(root),
        "api_key": "a-key-of-the-provider",
    } | SETTINGS.get(lane.name, {})
    return {name: value for name, value in settings.items() if value is not None}
