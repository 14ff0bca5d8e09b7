"""A running product whose metrics a test can make move, one at a time."""

from __future__ import annotations

import asyncio
import contextlib
import json
import urllib.request
from collections.abc import AsyncIterator, Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tests.support import config as configuration
from tests.support import deployments
from tests.support.asking import hello
from tests.support.config import KEY
from tests.support.deployments import Deployment
from tests.support.ledger_file import ACCOUNT, LedgerFile
from tests.support.metrics_page import series
from tests.support.openai_wire import says, stream
from tests.support.rest_door import RestDoor
from tests.support.scripted_upstream import ScriptedUpstream
from tests.support.scripts import hold
from tests.support.signals import Signal
from tests.support.valkey import Valkey

PAYING = "llmbase_test-key-of-who-pays-0123456789"
LIMITED = "llmbase_test-key-with-a-limit-0123456789"
PLACES = 2  # for calls at a time
PRICES = {"prompt": "0.000001", "completion": "0.000003"}
_PATIENCE = 20.0  # seconds

Key = tuple[str, tuple[str, ...]]


@dataclass
class Scene:
    """One process with everything that is counted in it."""

    deployment: Deployment
    upstream: ScriptedUpstream
    valkey: Valkey
    directory: Path

    def page(self) -> dict[Key, float]:
        """What the page says now; of labels that are not there nothing."""
        address = f"http://{self.deployment.metrics}/metrics"
        with urllib.request.urlopen(address, timeout=10) as answer:
            return series(answer.read())

    def value(self, name: str, *labels: str) -> float:
        """One number of the page; 0 where it is not there yet."""
        return self.page().get((name, labels), 0.0)

    @contextlib.asynccontextmanager
    async def rises(
        self, name: str, *labels: str, by: Callable[[float], bool] = bool
    ) -> AsyncIterator[None]:
        """What is done inside makes this number rise, by what `by` says is right."""
        before = self.value(name, *labels)
        yield
        await self.until(lambda: by(self.value(name, *labels) - before))

    async def until(self, holds: Callable[[], bool]) -> None:
        """Wait for what has to become true in a moment."""
        async with asyncio.timeout(_PATIENCE):
            while not await asyncio.to_thread(holds):  # noqa: ASYNC110 - of another process
                await asyncio.sleep(0.01)

    async def ask(self, model: str = "test/one", key: str = KEY, **fields: Any) -> Any:
        """Ask at the REST door."""
        async with RestDoor(self.deployment.http, key) as door:
            return await door.ask(hello(model, **fields))

    @contextlib.asynccontextmanager
    async def open_stream(self, key: str = KEY) -> AsyncIterator[None]:
        """A stream that goes on inside the block."""
        go_on, begun = Signal(), Signal()
        role, hel, *rest = says("Hel", "lo").events()
        self.upstream.on("gone", stream(role, hel, hold(go_on), *rest))
        async with RestDoor(self.deployment.http, key) as door:
            asked = asyncio.create_task(door.ask(hello("test/gone", stream=True), first=begun))
            await begun.wait()
            try:
                yield
            finally:
                go_on.set()
                await asked

    def rewrite(self, change: Callable[[dict[str, Any]], None]) -> None:
        """Change the configuration's file."""
        path = self.directory / "llmbase.yaml"
        config = json.loads(path.read_text(encoding="utf-8"))
        change(config)
        path.write_text(json.dumps(config), encoding="utf-8")


@contextlib.contextmanager
def scene(upstream: ScriptedUpstream, valkey: Valkey, directory: Path) -> Iterator[Scene]:
    """Start it."""
    ledger = LedgerFile(directory / "books.db")
    config = _config(upstream, valkey) | ledger.settings
    with deployments.one_process(upstream, directory, config) as deployment:
        ledger.credit(10**9)
        yield Scene(deployment, upstream, valkey, directory)


def _config(upstream: ScriptedUpstream, valkey: Valkey) -> dict[str, Any]:
    config = configuration.standard(upstream, metrics="127.0.0.1:0")
    config["admission"] = {"max_in_flight": PLACES, "max_queued": 2}
    config["shared"] = {"url": valkey.url, "timeout": "500ms"}
    config["providers"]["frail"] = configuration.provider(upstream.url("/frail")) | {
        "breaker": {"failures": 2, "open": "60s"}
    }
    config["models"]["test/frail"] = configuration.model(("frail", "frail"))
    config["models"]["test/again"] = configuration.model(("gamma", "again"), max_attempts=2)
    for each in config["models"].values():
        each["pricing"] = PRICES
    config["keys"] += [
        configuration.key_entry("paying", PAYING, ["*"]) | {"account": ACCOUNT},
        configuration.key_entry("limited", LIMITED, ["*"]) | {"requests_per_minute": 1},
    ]
    return config
