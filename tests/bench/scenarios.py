"""The scenarios of the speed table. Each loads one target and returns its figures."""

from __future__ import annotations

import asyncio
import os
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass

from tests.bench import crowds, mixture
from tests.bench.load import ask, question
from tests.bench.target import (
    Figures,
    Target,
    Window,
    closed_loop,
    connections,
    drop,
    quantiles,
    streams,
)

_COUNTED = 18.0  # seconds after which a paced run is counted, whatever has come
_IMAGE = "data:image/png;base64," + "iVBORw0K" * (8 * 2**20 // 8)


@dataclass(frozen=True)
class Scenario:
    """`figure` is the one that ratios are made of; `checked`: `bench-check` holds on to it.

    Others are noisier than a check can bear (they are times, or small), or take too long.
    """

    run: Callable[[Target], Awaitable[Figures]]
    figure: str
    quick: bool = True  # part of a quick run, too
    checked: bool = False
    most_rounds: int = 9


async def unary(target: Target) -> Figures:
    """64 connections, each asking again as soon as it is answered."""
    clients = await connections(target, 64)
    await closed_loop(target, clients, 200)
    window = Window(target)
    count = target.pick(1500, 5000)
    took = await closed_loop(target, clients, count)
    figures = window.cost(count, "request") | quantiles(took, "ms")
    drop(clients)
    return figures


async def unary_alone(target: Target) -> Figures:
    """One connection: what a caller waits for."""
    clients = await connections(target, 1)
    await closed_loop(target, clients, 20)
    window = Window(target)
    count = target.pick(300, 1000)
    took = await closed_loop(target, clients, count)
    figures = window.cost(count, "request") | quantiles(took, "ms")
    drop(clients)
    return figures


async def flood(target: Target) -> Figures:
    """32 streams of 200 chunks that come without a pause."""
    clients = await connections(target, 32)
    rounds = target.pick(6, 20)
    window = Window(target)
    for turn in range(rounds + 1):
        if turn == 1:
            window = Window(target)  # the first is for warming up
        await streams(target, clients, 200, 0)
        for client in clients:
            await client.ended()
    figures = window.cost(rounds * 32 * 200 / 1000, "1k_chunks")
    drop(clients)
    return figures


async def paced(target: Target) -> Figures:
    """1,000 streams of 500 chunks 20 ms apart, all of the subject on one core."""
    count, chunks = target.pick(200, 1000), target.pick(100, 500)
    if target.meter is not None:
        target.meter.pin([0])
    clients = await connections(target, count)
    await asyncio.sleep(1)  # until all are accepted: some take one connection in a turn of the loop
    window = Window(target)
    checks = await streams(target, clients, chunks, 20)
    ends = [asyncio.ensure_future(client.arrived()) for client in clients]
    ended, late = await asyncio.wait(ends, timeout=_COUNTED - (time.perf_counter() - window.began))
    window.close()
    for end in ended:
        end.result()
    for client in clients:
        client.look()
    figures = window.cost(sum(check.pieces for check in checks) / 1000, "1k_chunks")
    figures["share_delivered"] = sum(check.pieces for check in checks) / (count * chunks)
    for end in late:
        end.cancel()
    for check in checks:
        check.so_far()
    firsts = [1000 * (client.first_at - client.asked_at) for client in clients if client.first_at]
    drop(clients)
    await asyncio.sleep(0.2)  # until the subject has let go of the rest
    if target.meter is not None:
        target.meter.pin(list(range(_cores())))
    return figures | quantiles(firsts, "first_ms")


async def image(target: Target) -> Figures:
    """A body of 8 MB, one at a time."""
    clients = await connections(target, 1)
    await closed_loop(target, clients, 2)
    before = 0.0
    if target.meter is not None:
        before = target.meter.memory()
        target.meter.forget_peak()
    window = Window(target)
    count = target.pick(4, 12)
    await closed_loop(target, clients, count, image=_IMAGE)
    figures = window.cost(count, "request")
    if target.meter is not None:
        figures["extra_mb"] = (target.meter.peak() - before) / 1024
    drop(clients)
    return figures


async def open_loop(target: Target) -> Figures:
    """100 requests a second, whether or not those before have been answered."""
    clients = await connections(target, 100)
    count = target.pick(200, 1000)
    window, began = Window(target), time.perf_counter()
    asked: list[asyncio.Task[None]] = []
    took: list[float] = []
    for turn in range(count):
        await asyncio.sleep(began + turn / 100 - time.perf_counter())
        client = clients[turn % len(clients)]
        if turn >= len(clients):
            await asked[turn - len(clients)]  # a second ago: it has been answered long since
            took.append(1000 * (client.ended_at - client.asked_at))
        asking = ask(target.door, client, question(), stream=False)
        asked.append(asyncio.create_task(asking))
    await asyncio.gather(*asked)
    took += [1000 * (client.ended_at - client.asked_at) for client in clients]
    figures = window.cost(count, "request") | quantiles(took, "ms")
    drop(clients)
    return figures


def _cores() -> int:
    return len(os.sched_getaffinity(0))


SCENARIOS = {
    # First: a process that has been under load has memory to spare for held streams.
    "held": Scenario(crowds.held, "kb_per_stream", most_rounds=1),
    "unary": Scenario(unary, "cpu_ms_per_request", checked=True),
    "unary alone": Scenario(unary_alone, "cpu_ms_per_request"),
    "open loop": Scenario(open_loop, "cpu_ms_per_request", quick=False),
    "flood": Scenario(flood, "cpu_ms_per_1k_chunks", checked=True),
    # Not checked: the less of the core a subject gets, the more chunks share a read, and the less
    # each of them costs. On a busy machine that moves the ratio by more than any change of ours.
    "paced": Scenario(paced, "cpu_ms_per_1k_chunks", most_rounds=2),
    "held many": Scenario(crowds.held_many, "kb_per_stream", quick=False, most_rounds=1),
    "slow readers": Scenario(crowds.slow_readers, "cpu_ms_per_1k_chunks", quick=False),
    "image": Scenario(image, "cpu_ms_per_request", quick=False),
    "mixed hour": Scenario(mixture.mixed, "cpu_ms_per_call", quick=False, most_rounds=1),
}
