"""Scenarios with many open streams: what each costs while it is quiet, or read slowly."""

from __future__ import annotations

import asyncio
import resource

from tests.bench.answers import Streamed
from tests.bench.load import Client, question
from tests.bench.target import Figures, Target, Window, connections, drop, streams

_AT_A_TIME = 100  # streams that begin together
_QUIET = 60_000  # milliseconds until a held stream's next piece
_SPARE_FILES = 300


async def held(target: Target) -> Figures:
    """1,000 streams that have begun and are quiet."""
    return await _held(target, target.pick(400, 1000))


async def held_many(target: Target) -> Figures:
    """10,000 of them, or as many as a process may have: it has two open files for each."""
    files, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    return await _held(target, min(10_000, (files - _SPARE_FILES) // 2))


async def _held(target: Target, count: int) -> Figures:
    clients = await connections(target, 50)
    await _begin(target, clients)  # what is made once is not to be counted with the streams
    before = target.meter.memory() if target.meter is not None else 0.0
    crowd: list[Client] = []
    while len(crowd) < count:
        more = await connections(target, min(_AT_A_TIME, count - len(crowd)))
        crowd += more
        await _begin(target, more)
    after = target.meter.memory() if target.meter is not None else 0.0
    window = Window(target)
    await asyncio.sleep(target.pick(1, 3))
    figures = window.cost(1.0, "quiet_window")
    drop(clients + crowd)
    return {
        "kb_per_stream": (after - before) / count,
        "streams": float(count),
        "quiet_cpu_share": figures["cpu_ms_per_quiet_window"] / (1000 * target.pick(1, 3)),
    }


async def _begin(target: Target, clients: list[Client]) -> None:
    checks = await streams(target, clients, 2, _QUIET, later=False)
    for client in clients:
        await client.began()
    for check in checks:
        check.so_far()


async def slow_readers(target: Target) -> Figures:
    """32 streams that are longer than all buffers, read a little at a time."""
    count, chunks = 32, 4000
    clients = await connections(target, count)
    before = 0.0
    if target.meter is not None:
        before = target.meter.memory()
        target.meter.forget_peak()
    window = Window(target)
    for client in clients:
        asked = question(chunks)
        client.start(target.door.request(asked, stream=True), Streamed(asked), slow=True)
    for client in clients:
        await client.ended()
    figures = window.cost(count * chunks / 1000, "1k_chunks")
    if target.meter is not None:
        figures["extra_kb_per_stream"] = (target.meter.peak() - before) / count
    drop(clients)
    return figures
