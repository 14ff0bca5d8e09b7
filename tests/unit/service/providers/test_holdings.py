"""What the next configuration shares with the one before, and who closes what."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from service.config import Config
from service.providers import build
from service.providers.holdings import Holdings
from telemetry.metrics import Metrics
from tests.support.certificates import self_signed


def config(**providers: Any) -> Config:
    given = {
        name: {"dialect": "openai", "base_url": f"http://{name}.example/v1"} | settings
        for name, settings in providers.items()
    }
    models = {name: {"targets": [{"provider": name}]} for name in providers}
    return Config.model_validate({"providers": given, "models": models})


@pytest.fixture
def made(tmp_path: Path):
    def make(given: Config, before: Holdings | None = None) -> Holdings:
        holdings = Holdings(given, build.trust_all(given.providers))
        holdings.open(tmp_path, "0", Metrics({}), before)
        return holdings

    return make


def is_closed(provider: Any) -> bool:
    return bool(provider._client._closed)


async def test_a_provider_that_is_configured_as_before_is_the_same_with_its_connections(made):
    first = made(config(a={}, b={}))
    second = made(config(a={}, b={"api_key": "new"}, c={}), first)
    before, after = first.providers, second.providers
    assert after["a"] is before["a"]
    assert after["b"] is not before["b"]
    await first.close()
    assert [is_closed(it) for it in before.values()] == [False, True]
    assert not any(is_closed(it) for it in after.values())
    await second.close()
    assert all(is_closed(it) for it in after.values())


async def test_a_file_with_other_certificates_makes_another_provider(made, tmp_path):
    bundle = tmp_path / "ca.pem"
    bundle.write_bytes(self_signed()[1])
    given = config(a={"ca_file": str(bundle)})
    first = made(given)
    second = made(given, first)
    bundle.write_bytes(self_signed()[1])
    third = made(given, second)
    assert second.providers["a"] is first.providers["a"]
    assert third.providers["a"] is not first.providers["a"]
    for holdings in (first, second, third):
        await holdings.close()


async def test_other_rules_for_images_make_other_providers(made):
    plain = config(a={})
    first = made(plain)
    second = made(
        Config.model_validate(plain.model_dump() | {"images": {"max_bytes": 10_000}}), first
    )
    assert second.providers["a"] is not first.providers["a"]
    await first.close()
    await second.close()


async def test_closing_twice_closes_once(made):
    first = made(config(a={}))
    second = made(config(a={}), first)
    (provider,) = second.providers.values()
    await first.close()
    await first.close()
    assert not is_closed(provider)
    await second.close()
