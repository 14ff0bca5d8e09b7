"""Where the time goes in `llmbase up`: a sampling profile by room, and flame graphs."""

from __future__ import annotations

import asyncio
import shutil
import subprocess
import sys
from collections import Counter
from pathlib import Path

import uvloop

from tests.bench import flame
from tests.bench.subjects import Running
from tests.bench.target import Target, closed_loop, connections, drop, streams

_SECONDS = 6
_RATE = 500  # samples a second


def profile(running: Running, out: Path) -> None:
    """Load it with whole answers, with a flood and with paced streams; write what was seen."""
    spy = shutil.which("py-spy") or str(Path(sys.executable).with_name("py-spy"))
    target = Target("llmbase", running.door, running.meter, quick=True)
    for stage, load in (("unary", _unary), ("flood", _flood), ("paced", _paced)):
        assert running.meter is not None
        folded = out / f"profile-{stage}.folded"
        pid = str(running.meter.processes()[0].pid)
        command = [spy, "record", "--pid", pid, "--format", "raw", "--output", str(folded)]
        command += ["--duration", str(_SECONDS), "--rate", str(_RATE), "--nonblocking"]
        uvloop.run(_while(command, load, target))
        stacks = read_folded(folded.read_text(encoding="utf-8"))
        (out / f"flame-{stage}.svg").write_text(flame.svg(stacks, stage), encoding="utf-8")
        print(f"\n{stage}: share of the time by room")
        total = sum(stacks.values()) or 1
        for room, samples in rooms(stacks).most_common(14):
            print(f"  {room.ljust(44)}{100 * samples / total:6.1f} %")


def read_folded(text: str) -> Counter[tuple[str, ...]]:
    """Read `frame;frame;frame COUNT` lines."""
    stacks: Counter[tuple[str, ...]] = Counter()
    for line in text.splitlines():
        stack, _, count = line.rpartition(" ")
        stacks[tuple(stack.split(";"))] += int(count)
    return stacks


def rooms(stacks: Counter[tuple[str, ...]]) -> Counter[str]:
    """Return the samples by the file of the innermost frame: a stage's own cost."""
    found: Counter[str] = Counter()
    for stack, count in stacks.items():
        found[_file(stack[-1])] += count
    return found


def _file(frame: str) -> str:
    """`name (path/file.py:12)` is path/file.py."""
    _, _, place = frame.rpartition("(")
    return place.rstrip(")").rpartition(":")[0] or frame


async def _while(command: list[str], load: object, target: Target) -> None:
    spying = await asyncio.create_subprocess_exec(*command, stdout=subprocess.DEVNULL)
    try:
        while spying.returncode is None:
            await load(target)  # type: ignore[operator]
    finally:
        await spying.wait()


async def _unary(target: Target) -> None:
    clients = await connections(target, 64)
    await closed_loop(target, clients, 1000)
    drop(clients)


async def _flood(target: Target) -> None:
    await _streams(target, 32, 200, 0)


async def _paced(target: Target) -> None:
    await _streams(target, 200, 50, 20)


async def _streams(target: Target, count: int, chunks: int, delay: int) -> None:
    clients = await connections(target, count)
    await streams(target, clients, chunks, delay)
    for client in clients:
        await client.ended()
    drop(clients)
