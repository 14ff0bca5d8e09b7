"""When a configuration file is looked at again, and what a bad one does: nothing but a line."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from service.config import Config
from service.config_file import load
from service.labels import known_labels
from service.mendable import ConfigError
from service.reloader import Reloader
from telemetry.metrics import CONFIG_GENERATION, Metrics
from tests.support.metrics_page import counted, series
from tests.unit.virtual_time import in_virtual_time, now

GOOD = """
providers: {a: {dialect: openai, api_key: "%s"}}
models: {m: {targets: [{provider: a}]}}
"""
SECRET = "sk-a-secret-of-ours-0123"


class _Service:
    def __init__(self) -> None:
        self.number = 1
        self.taken: list[Config] = []
        self.failure: Exception | None = None
        self.asked: list[float] = []  # when

    async def reload(self, config: Config) -> tuple[str, ...]:
        self.asked.append(now())
        if self.failure is not None:
            raise self.failure
        self.number += 1
        self.taken.append(config)
        return ("server.grpc",)


class _Bench:
    def __init__(self, path: Path) -> None:
        self.path = path
        self.service = _Service()
        config = load(path, {})
        self.metrics = Metrics(known_labels(config))
        self.metrics.follow(CONFIG_GENERATION, lambda: {(): self.service.number})
        self.told = asyncio.Event()
        self.reloader = Reloader(self.service, path, config, {}, self.metrics, known_labels)

    def counts(self) -> tuple[float, float, float]:
        page = self.metrics.render()
        results = {key[0]: n for key, n in counted(page, "llmbase_config_reloads_total").items()}
        number = series(page)["llmbase_config_generation", ()]
        return number, results.get("applied", 0), results.get("refused", 0)


@pytest.fixture
def bench(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> _Bench:
    caplog.set_level(logging.INFO)
    path = tmp_path / "llmbase.yaml"
    path.write_text(GOOD % "one")
    return _Bench(path)


async def test_a_file_that_says_the_same_is_taken_over_only_when_asked_for(bench):
    os.utime(bench.path, (1, 1))
    await bench.reloader.reload(even_if_same=False)
    assert bench.counts() == (1, 0, 0)
    await bench.reloader.reload(even_if_same=True)
    assert bench.counts() == (2, 1, 0)


async def test_a_new_file_is_taken_over_and_the_log_says_what_needs_a_restart(bench, caplog):
    bench.path.write_text(GOOD % "two")
    await bench.reloader.reload(even_if_same=False)
    (config,) = bench.service.taken
    assert config.providers["a"].api_key.get_secret_value() == "two"
    (record,) = caplog.records
    assert (record.generation, record.needs_restart) == (2, ["server.grpc"])
    await bench.reloader.reload(even_if_same=False)
    assert bench.counts() == (2, 1, 0)


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("providers: [", "not YAML"),
        ("models: {}", "providers"),
        (GOOD.replace("provider: a", "provider: b") % SECRET, "models.m"),
        (GOOD % "${NOT_SET}", "NOT_SET"),
        (None, "cannot be read"),
    ],
)
async def test_a_bad_file_changes_nothing_and_says_why(bench, caplog, text, why):
    if text is None:
        bench.path.unlink()
    else:
        bench.path.write_text(text)
    await bench.reloader.reload(even_if_same=True)
    assert bench.service.taken == []
    assert bench.counts() == (1, 0, 1)
    (record,) = caplog.records
    assert record.levelno == logging.ERROR
    assert why in record.why
    assert SECRET not in record.why
    bench.path.write_text(GOOD % "two")
    await bench.reloader.reload(even_if_same=False)
    assert bench.counts() == (2, 1, 1)


@pytest.mark.parametrize(
    ("failure", "why"),
    [(ConfigError("providers.a.ca_file: no"), "ca_file: no"), (ValueError(SECRET), "ValueError")],
)
async def test_what_the_service_cannot_take_over_is_refused_and_tried_again_when_told(
    bench, caplog, failure, why
):
    bench.path.write_text(GOOD % "two")
    bench.service.failure = failure
    await bench.reloader.reload(even_if_same=False)
    (record,) = caplog.records
    assert why in record.why
    assert SECRET not in record.why
    bench.service.failure = None
    await bench.reloader.reload(even_if_same=False)
    assert bench.counts() == (2, 1, 1)


async def test_new_providers_get_labels_of_their_own(bench):
    bench.path.write_text(
        "providers: {b: {dialect: openai}}\nmodels: {m: {targets: [{provider: b}]}}"
    )
    await bench.reloader.reload(even_if_same=False)
    assert series(bench.metrics.render())["llmbase_provider_alerts_total", ("b", "401")] == 0


@contextlib.asynccontextmanager
async def watching(bench: _Bench) -> AsyncIterator[None]:
    watch = asyncio.create_task(bench.reloader.run(bench.told))
    try:
        yield
    finally:
        watch.cancel()
        await asyncio.wait([watch])


def keys(bench: _Bench) -> list[str]:
    """Return the provider's key of each configuration that was taken over."""
    return [it.providers["a"].api_key.get_secret_value() for it in bench.service.taken]


@in_virtual_time
async def test_the_watch_looks_every_second_and_at_once_when_told(bench):
    async with watching(bench):
        await asyncio.sleep(20.5)
        new = bench.path.with_name("new.yaml")
        new.write_text(GOOD % "two")
        new.rename(bench.path)
        await asyncio.sleep(1.75)
        assert (bench.service.asked, keys(bench)) == ([21], ["two"])
        bench.told.set()
        await asyncio.sleep(10)
        assert (bench.service.asked, keys(bench)) == ([21, 22.25], ["two", "two"])


@in_virtual_time
async def test_a_file_that_was_refused_is_not_read_again_before_it_changes(bench, caplog):
    async with watching(bench):
        bench.path.write_text("providers: [")
        await asyncio.sleep(10.5)
        assert bench.counts() == (1, 0, 1)
        bench.path.write_text(GOOD % "two")
        await asyncio.sleep(10)
        assert (bench.service.asked, keys(bench)) == ([11], ["two"])


@in_virtual_time
async def test_a_file_that_is_away_for_a_while_is_waited_for(bench):
    async with watching(bench):
        await asyncio.sleep(1.5)
        bench.path.unlink()
        await asyncio.sleep(10)
        bench.path.write_text(GOOD % "two")
        await asyncio.sleep(1)
        assert (bench.counts(), keys(bench)) == ((2, 1, 0), ["two"])


@in_virtual_time
async def test_links_that_lead_to_another_file_are_seen_as_kubernetes_exchanges_them(
    tmp_path: Path,
) -> None:
    for name in ("one", "two"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "llmbase.yaml").write_text(GOOD % name)
    data, path = tmp_path / "..data", tmp_path / "llmbase.yaml"
    data.symlink_to("one")
    path.symlink_to("..data/llmbase.yaml")
    bench = _Bench(path)
    async with watching(bench):
        await asyncio.sleep(1.5)
        (tmp_path / "..new").symlink_to("two")
        (tmp_path / "..new").rename(data)
        await asyncio.sleep(1)
    assert keys(bench) == ["two"]
