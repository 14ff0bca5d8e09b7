"""A subject under load, as a scenario sees it, and the ways to load it."""

from __future__ import annotations

import asyncio
import statistics
import time
from collections.abc import Iterator
from dataclasses import dataclass, field

from tests.bench.answers import Streamed
from tests.bench.load import Client, Door, ask, question
from tests.bench.measure import Meter

Figures = dict[str, float]


@dataclass(frozen=True)
class Target:
    """`meter` is None for the provider itself, which is asked directly: it is nobody's cost."""

    name: str
    door: Door
    meter: Meter | None
    quick: bool

    def pick(self, quick: int, full: int) -> int:
        """Return how much of something there is to be in this run."""
        return quick if self.quick else full


@dataclass
class Window:
    """The cost between its beginning and its end."""

    target: Target
    began: float = field(default_factory=time.perf_counter)
    cpu: float = 0.0
    spent: float | None = None
    seconds: float = 0.0

    def __post_init__(self) -> None:
        self.cpu = self.target.meter.cpu() if self.target.meter else 0.0

    def close(self) -> None:
        """End it, if it has not been ended before: what comes now is not looked at."""
        if self.spent is None:
            self.spent = self.target.meter.cpu() - self.cpu if self.target.meter else 0.0
            self.seconds = time.perf_counter() - self.began

    def cost(self, answered: float, unit: str) -> Figures:
        """CPU-ms for each of what was answered, and how many a second that were."""
        self.close()
        assert self.spent is not None
        return {
            f"cpu_ms_per_{unit}": self.spent / answered,
            f"{unit}s_per_s": answered / self.seconds,
        }


async def connections(target: Target, count: int) -> list[Client]:
    """So many connections, opened a few at a time: a listener's queue is short."""
    clients = []
    for _ in range(count):
        clients.append(await target.door.connect())
    return clients


def drop(clients: list[Client]) -> None:
    """Close them all."""
    for client in clients:
        client.leave()


async def closed_loop(
    target: Target, clients: list[Client], count: int, *, image: str = ""
) -> list[float]:
    """Ask `count` whole answers, one after another on each connection. Returns milliseconds."""
    left: Iterator[int] = iter(range(count))
    took: list[float] = []

    async def work(client: Client) -> None:
        for _ in left:
            await ask(target.door, client, question(), stream=False, image=image)
            took.append(1000 * (client.ended_at - client.asked_at))

    async with asyncio.TaskGroup() as group:
        for client in clients:
            group.create_task(work(client))
    return took


async def streams(
    target: Target,
    clients: list[Client],
    chunks: int,
    delay: int,
    *,
    spread: float = 0.0,
    later: bool = True,
) -> list[Streamed]:
    """Begin one stream on each connection, over `spread` seconds. They are not awaited.

    They are looked at when they have ended, unless `later` is False.
    """
    checks = []
    for client in clients:
        asked = question(chunks, delay)
        checks.append(Streamed(asked))
        client.start(target.door.request(asked, stream=True), checks[-1], later=later)
        if spread:
            await asyncio.sleep(spread / len(clients))
    return checks


def quantiles(values: list[float], prefix: str) -> Figures:
    """The middle, and the slowest hundredth."""
    cuts = statistics.quantiles(values, n=100)
    return {f"{prefix}_p50": cuts[49], f"{prefix}_p99": cuts[98]}
