"""What a service's keys are made of cannot be foreseen, though answers show much of its chance."""

from __future__ import annotations

import random
from pathlib import Path
from typing import Any

import pytest

import service.server
from service.config import Config
from service.labels import known_labels
from service.server import Service
from telemetry.metrics import Metrics
from tests.support.config import KEY, key_entry


async def test_keys_are_made_of_the_systems_own_randomness(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    given: list[random.Random] = []
    accounts: Any = service.server.Accounts

    def make(config: Any, data: Any, metrics: Any, chance: random.Random, *others: Any) -> object:
        given.append(chance)
        return accounts(config, data, metrics, chance, *others)

    monkeypatch.setattr(service.server, "Accounts", make)
    provider = {"dialect": "openai", "base_url": "http://acme/v1"}
    config = Config.model_validate(
        {
            "store": None,
            "providers": {"acme": provider},
            "models": {"a/one": {"targets": [{"provider": "acme"}]}},
            "keys": [key_entry("demo", KEY, ["*"])],
        }
    )
    await Service(config, tmp_path, tmp_path, Metrics(known_labels(config))).close()
    (chance,) = given
    assert isinstance(chance, random.SystemRandom)
