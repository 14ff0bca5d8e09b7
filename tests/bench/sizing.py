"""What a process needs: memory when idle and for each open stream, CPU for each call and chunk.

`python -m tests.bench.sizing` prints the figures of docs/runbook.md, for `llmbase up` and for a
gateway and its service. CPU is the processes' own, so a busy machine makes it hardly worse.
"""

from __future__ import annotations

import asyncio
import json
import sys
import tempfile
from collections.abc import Awaitable, Callable
from contextlib import AbstractContextManager
from pathlib import Path

import aiohttp
import psutil

from tests.support import config, deployments
from tests.support.asking import hello
from tests.support.config import KEY
from tests.support.deployments import Deployment
from tests.support.openai_wire import says, stream
from tests.support.scripted_upstream import ScriptedUpstream
from tests.support.scripts import hold, pause
from tests.support.signals import Signal

_STREAMS, _CALLS, _CHUNKS, _TALKING = 1000, 2000, 200, 20
Shape = Callable[..., AbstractContextManager[Deployment]]
Figures = dict[str, float]


async def measure(shape: Shape, upstream: ScriptedUpstream, directory: Path) -> list[Figures]:
    """Return the figures of each process of a shape, memory in MB and KB, CPU in microseconds."""
    settings = config.standard(upstream) | {"store": None}
    with shape(upstream, directory, settings) as made:
        processes = [psutil.Process(it.pid) for it in made.processes]
        key = {"Authorization": f"Bearer {KEY}", "Content-Type": "application/json"}
        connector = aiohttp.TCPConnector(limit=0)
        async with aiohttp.ClientSession(made.http, connector=connector, headers=key) as client:
            await _call(client, 200)
            idle = _memory(processes)
            called = await _spent(processes, _call(client, _CALLS))
            talked = await _spent(processes, _talk(client, upstream))
            held = await _held(client, upstream, processes)
    return [
        {
            "idle MB": idle[i] / 2**20,
            "KB a stream": held[i] / _STREAMS / 2**10,
            "us a call": called[i] / _CALLS * 1e6,
            "us a chunk": talked[i] / (_TALKING * _CHUNKS) * 1e6,
        }
        for i in range(len(processes))
    ]


async def _call(client: aiohttp.ClientSession, count: int) -> None:
    body = json.dumps(hello("zai-org/glm-5"))
    for _ in range(count // 10):
        await asyncio.gather(*(_read(client, body) for _ in range(10)))


async def _talk(client: aiohttp.ClientSession, upstream: ScriptedUpstream) -> None:
    """Streams at the pace of a quick model: a chunk every ten milliseconds."""
    events = says(*(["word "] * _CHUNKS)).events()
    upstream.on("one", stream(*(piece for event in events for piece in (event, pause(0.01)))))
    body = json.dumps(hello(stream=True))
    await asyncio.gather(*(_read(client, body) for _ in range(_TALKING)))


async def _held(
    client: aiohttp.ClientSession, upstream: ScriptedUpstream, processes: list[psutil.Process]
) -> list[float]:
    """Open streams; return the bytes that they have added to each process."""
    go_on = Signal()
    role, word, *rest = says("word").events()
    upstream.on("one", stream(role, word, hold(go_on), *rest))
    before, body = _memory(processes), json.dumps(hello(stream=True))
    asking = [asyncio.create_task(_read(client, body)) for _ in range(_STREAMS)]
    await upstream.arrival(len(upstream.exchanges) + _STREAMS, timeout=50)
    await asyncio.sleep(1)
    added = [now - was for now, was in zip(_memory(processes), before, strict=True)]
    go_on.set()
    await asyncio.gather(*asking)
    return added


async def _read(client: aiohttp.ClientSession, body: str) -> None:
    async with client.post("/v1/chat/completions", data=body) as response:
        assert response.status == 200
        await response.read()


async def _spent(processes: list[psutil.Process], work: Awaitable[None]) -> list[float]:
    """Return the CPU seconds of each process while the work was done."""
    before = _cpu(processes)
    await work
    return [now - was for now, was in zip(_cpu(processes), before, strict=True)]


def _memory(processes: list[psutil.Process]) -> list[float]:
    return [float(it.memory_full_info().uss) for it in processes]


def _cpu(processes: list[psutil.Process]) -> list[float]:
    return [float(sum(it.cpu_times()[:2])) for it in processes]


def main() -> None:
    """Measure both shapes and print a row for each of their processes."""
    shapes = {("up",): deployments.one_process, ("gateway", "service"): deployments.sidecar}
    with ScriptedUpstream().in_thread() as upstream, tempfile.TemporaryDirectory() as directory:
        for names, shape in shapes.items():
            upstream.reset()
            upstream.on("glm-5", says("Hello"))
            rows = asyncio.run(measure(shape, upstream, Path(directory) / names[0]))
            for name, figures in zip(names, rows, strict=True):
                shown = "  ".join(f"{label} {value:.0f}" for label, value in figures.items())
                sys.stdout.write(f"{name}: {shown}\n")


if __name__ == "__main__":
    main()
