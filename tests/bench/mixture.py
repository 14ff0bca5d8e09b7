"""An hour of ordinary use, compressed: all kinds of calls beside each other, some of them left."""

from __future__ import annotations

import asyncio
import random
import time

from tests.bench.answers import Streamed, Whole
from tests.bench.load import question
from tests.bench.target import Figures, Target, Window

_SEED = 7
_CALLS = 3600  # of an hour with one call a second
_RATE = 120.0  # calls a second that become of it


async def mixed(target: Target) -> Figures:
    """Whole answers and streams, short and long, quick and paced; one in twenty is left."""
    chance = random.Random(_SEED)
    count = target.pick(600, _CALLS)
    before = target.meter.memory() if target.meter is not None else 0.0
    window, began = Window(target), time.perf_counter()
    async with asyncio.TaskGroup() as group:
        for turn in range(count):
            await asyncio.sleep(began + turn / _RATE - time.perf_counter())
            group.create_task(_call(target, chance))
    figures = window.cost(count, "call")
    if target.meter is not None:
        figures["grown_mb"] = (target.meter.memory() - before) / 1024
    return figures


async def _call(target: Target, chance: random.Random) -> None:
    kind = chance.random()
    chunks, delay = chance.randint(5, 80), chance.choice((0, 5, 10, 20))
    left_after = chance.random() * 0.5 if chance.random() < 0.05 else None
    stream = kind > 0.4
    client = await target.door.connect()
    asked = question(chunks, delay)
    check = Streamed(asked) if stream else Whole(asked)
    slow = kind > 0.95
    client.start(target.door.request(asked, stream=stream), check, slow=slow)
    try:
        if left_after is not None:
            await asyncio.sleep(left_after)
        else:
            await client.ended()
    finally:
        client.leave()
