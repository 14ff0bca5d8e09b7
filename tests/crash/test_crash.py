"""The service is killed at random points, again and again: nothing that was billed is lost, and
nothing is settled twice.

LLMBASE_CRASH_RUNS says how often (`make crash`: 500 times), LLMBASE_CRASH_SEED repeats a run.
"""

from __future__ import annotations

import asyncio
import os
import random
import secrets
import signal
import time
from pathlib import Path
from typing import Any

import grpc
import pytest

from service.accounts.renewing import LAPSE, Renewal
from service.store.database import Database
from telemetry.metrics import Metrics
from tests.crash import books
from tests.crash.provider import Provider
from tests.support import config
from tests.support.config import KEY
from tests.support.grpc_door import GrpcDoor
from tests.support.postgres import Postgres
from tests.support.processes import Process
from tests.support.proto_request import proto_request
from tests.support.scripted_upstream import ScriptedUpstream

RUNS = int(os.environ.get("LLMBASE_CRASH_RUNS", "5"))
SEED = os.environ.get("LLMBASE_CRASH_SEED") or secrets.token_hex(4)
AT_ONCE = 2  # services, at one store
CALLS = 16  # at a time, of each
LONGEST = 0.4  # seconds that a service lives after its first call

pytestmark = [pytest.mark.matrix, pytest.mark.timeout(120 + 10 * RUNS)]


async def test_what_was_billed_is_settled_once_or_held(postgres: Postgres, tmp_path: Path) -> None:
    print(f"\nseed {SEED}, {RUNS} runs of {CALLS} calls")
    chance = random.Random(SEED)
    provider, url = Provider(SEED), postgres.new_database()
    with ScriptedUpstream().in_thread() as upstream:
        upstream.otherwise(provider)
        path = config.write(_config(upstream, url, tmp_path), tmp_path)
        _begin_and_end(path, tmp_path / "first")  # makes the tables and the account
        postgres.sql(f"UPDATE accounts SET balance_nanos = {books.CREDIT} WHERE id = 'acme'", url)
        runs = iter(range(RUNS))

        async def lane() -> None:
            for run in runs:
                life = await asyncio.to_thread(_Life, path, tmp_path / f"run-{run}")
                await asyncio.to_thread(life.ready)
                await _call_and_kill(life, run, chance)
                await asyncio.to_thread(life.end)

        await asyncio.gather(*(lane() for _ in range(AT_ONCE)))
        assert not upstream.mistakes
    await asyncio.to_thread(_begin_and_end, path, tmp_path / "last")  # settles what was spooled
    await _ten_minutes_later(url)
    counted = books.check(postgres, url, provider.billed)
    print(counted)
    assert counted["billed"] > 0


class _Life:
    """One life of the service, at an address of its own."""

    def __init__(self, path: Path, directory: Path) -> None:
        flags = ("--config", str(path), "--grpc", "127.0.0.1:0", "--log-level", "error")
        self._process = Process("service", *flags, directory=directory)
        self.address = ""

    def ready(self) -> None:
        self.address = self._process.wait_until_ready(60)[1]

    def kill(self) -> None:
        self._process.send(signal.SIGKILL)
        self._process.wait()

    def end(self) -> None:
        self._process.stop()
        assert "Traceback" not in self._process.log, self._process.log


def _begin_and_end(path: Path, directory: Path) -> None:
    life = _Life(path, directory)
    try:
        life.ready()
    finally:
        life.end()


async def _call_and_kill(life: _Life, run: int, chance: random.Random) -> None:
    async with GrpcDoor(life.address, KEY) as door:
        calls = [
            asyncio.create_task(_ask(door, f"{SEED}-{run}-{i}", streamed=chance.random() < 0.5))
            for i in range(CALLS)
        ]
        await asyncio.sleep(chance.uniform(0, LONGEST))
        await asyncio.to_thread(life.kill)
        await asyncio.gather(*calls)


async def _ask(door: GrpcDoor, name: str, *, streamed: bool) -> None:
    body: dict[str, Any] = {"model": "test/paid", "messages": [{"role": "user", "content": name}]}
    body |= {"max_tokens": 100}
    metadata = door.metadata({"x-request-id": name})
    try:
        if streamed:
            stream = door.chat.StreamChatCompletion(proto_request(body), metadata=metadata)
            async for _ in stream:
                pass
        else:
            await door.chat.CreateChatCompletion(proto_request(body), metadata=metadata)
    except grpc.aio.AioRpcError as error:
        assert error.code() is grpc.StatusCode.UNAVAILABLE, error  # it was killed


async def _ten_minutes_later(url: str) -> None:
    """Let every reservation lapse that nobody renews any longer."""
    database = Database(url)
    lapsing = Renewal(database, (), lambda: time.time() + LAPSE + 1, Metrics({}))
    while await lapsing.lapse():
        pass
    await database.close()


def _config(upstream: ScriptedUpstream, url: str, directory: Path) -> dict[str, Any]:
    pricing = {"prompt": "0.000001", "completion": "0.000003"}
    return {
        "server": {"grpc": "127.0.0.1:0", "drain": "2s"},
        "store": {"url": url, "spool": str(directory / "spool")},
        "accounts": {"max_active": 100},
        "providers": {"p": config.provider(upstream.url())},
        "models": {"test/paid": config.model(("p", "paid"), pricing=pricing)},
        "keys": [config.key_entry("all", KEY, ["*"]) | {"account": "acme"}],
    }
