"""Thousands of random calls through real processes, while everything around them goes wrong.

`make chaos` makes ten thousand; the number is LLMBASE_CHAOS_CALLS, the seed LLMBASE_CHAOS_SEED. A
seed decides what each call, connection and answer does, though not how they interleave.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import random
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.chaos.callers import call
from tests.chaos.deployment import Deployment
from tests.chaos.invariants import INVARIANTS
from tests.chaos.provider import Provider
from tests.chaos.proxy import FaultProxy
from tests.chaos.record import Asked, Run
from tests.support.config import KEY
from tests.support.grpc_door import GrpcDoor
from tests.support.rest_door import RestDoor
from tests.support.scripted_upstream import ScriptedUpstream

CALLS = int(os.environ.get("LLMBASE_CHAOS_CALLS", "400"))
SEED = os.environ.get("LLMBASE_CHAOS_SEED") or str(random.SystemRandom().getrandbits(32))
AT_ONCE = 24
KILLS = max(2, CALLS // 500)
CALM = 0.8  # of the calls, after which nothing is killed any longer
SHARES = {"p1": 0.8, "p2": 0.4, "p3": 0.0}  # of connections to each provider that go wrong
SHOWN = 20  # lines of each kind of violation
# Callers that find the service gone have to look for it again at once.
RECONNECT = [("grpc.initial_reconnect_backoff_ms", 100), ("grpc.max_reconnect_backoff_ms", 300)]

pytestmark = [pytest.mark.matrix, pytest.mark.timeout(120 + CALLS // 4)]


@pytest.fixture
def provider() -> Iterator[ScriptedUpstream]:
    """The provider's own side."""
    with ScriptedUpstream().in_thread() as upstream:
        upstream.otherwise(Provider(SEED))
        yield upstream


async def test_every_invariant_holds(provider: ScriptedUpstream, tmp_path: Path) -> None:
    print(f"\n{CALLS} calls, seed {SEED} (LLMBASE_CHAOS_SEED={SEED} does the same again)")
    run = Run()
    heart = asyncio.create_task(_beat(run))
    began = time.monotonic()
    try:
        async with contextlib.AsyncExitStack() as stack:
            proxies = {
                name: await stack.enter_async_context(
                    FaultProxy(provider.port, f"{SEED}:{name}", share)
                )
                for name, share in SHARES.items()
            }
            deployment = Deployment(tmp_path, {n: it.port for n, it in proxies.items()}, run)
            try:
                await _storm(deployment, run)
            finally:
                await asyncio.to_thread(deployment.stop)
    finally:
        heart.cancel()
    _ask_the_provider(provider, run)
    _report(run, proxies, time.monotonic() - began)
    broken = {it.__name__: list(it(run)) for it in INVARIANTS}
    for name, found in broken.items():
        print(f"{name}: {len(found)} violations")
        for line in found[:SHOWN]:
            print(f"  {line}")
    assert not any(broken.values()), f"seed {SEED}"


async def _storm(deployment: Deployment, run: Run) -> None:
    for name in ("service", "gateway"):
        deployment.start(name)
        await deployment.ready(name)
    deployment.pay()
    chance = random.Random(f"{SEED}:kills")
    kills = {
        int(CALLS * CALM * (it + 1) / (KILLS + 1)): chance.choice(("service", "gateway"))
        for it in range(KILLS)
    }
    numbers = iter(range(CALLS))
    before: dict[str, int] = {}
    async with (
        RestDoor(deployment.http, KEY) as rest,
        GrpcDoor(deployment.grpc, KEY, RECONNECT) as rpc,
    ):

        async def caller() -> None:
            for number in numbers:
                if number in kills:
                    await deployment.kill(kills[number])
                if number == int(CALLS * (CALM + 0.05)):
                    before.update(deployment.measure())
                await call(number, SEED, rest, rpc, run)

        await asyncio.gather(*(caller() for _ in range(AT_ONCE)))
    await asyncio.sleep(1.0)  # what is over is let go in less
    after = deployment.measure()
    run.memory = {name: (before[name], after[name]) for name in after}
    run.descriptors = deployment.descriptors()


async def _beat(run: Run) -> None:
    """Note how late this loop is: what is measured here cannot be more exact than that."""
    loop, every = asyncio.get_running_loop(), 0.02
    while True:
        due = loop.time() + every
        await asyncio.sleep(every)
        run.beats.append((loop.time(), loop.time() - due))


def _ask_the_provider(provider: ScriptedUpstream, run: Run) -> None:
    assert not provider.mistakes, "the provider's own plan failed"
    for exchange in provider.exchanges:
        ends = [at for at in (exchange.left.at, exchange.done.at) if at is not None]
        call = exchange.request.json["messages"][-1]["content"]
        model = exchange.request.model
        run.asked.append(Asked(call, model, exchange.began_at, min(ends, default=None)))


def _report(run: Run, proxies: dict[str, FaultProxy], seconds: float) -> None:
    outcomes = Counter(outcome for seen in run.calls for outcome in seen.outcomes)
    faults: Counter[str] = sum((it.done for it in proxies.values()), Counter())
    print(f"{seconds:.0f} s, {len(run.asked)} requests to providers, {KILLS} kills")
    print("outcomes:", ", ".join(f"{number} {name}" for name, number in outcomes.most_common()))
    print("faults on the way:", ", ".join(f"{n} {name}" for name, n in faults.most_common()))
    for name, (before, after) in run.memory.items():
        print(f"{name}: {before / 2**20:.0f} MB, {after / 2**20:.0f} MB at the end")
    assert outcomes["answer"] > CALLS / 4, "the storm drowned everything"
    assert len(run.calls) == CALLS
