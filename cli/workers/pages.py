"""The metrics of all workers as one page: each says its own at a socket that only we know."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import aiohttp
from prometheus_client import Metric as Family
from prometheus_client import generate_latest
from prometheus_client.parser import text_string_to_metric_families

_PATIENCE = aiohttp.ClientTimeout(total=3.0)
_URL = "http://worker/metrics"

Merge = Callable[[Mapping[int, bytes]], bytes]


def by_worker(pages: Mapping[int, bytes]) -> bytes:
    """Return one page with the series of all, each with the label `worker`.

    They are not added up: a worker that is started again begins at zero, and a sum that falls
    would look like more calls than there were.
    """
    return generate_latest(_Labelled(pages))


class WorkerPages:
    """The pages of the workers that listen at these sockets, by their numbers."""

    def __init__(self, sockets: Mapping[int, Path], merge: Merge = by_worker) -> None:
        self._sockets = sockets
        self._merge = merge

    async def render(self) -> bytes:
        """Return the page; a worker that does not answer is left out of it."""
        numbers = tuple(self._sockets)
        found = await asyncio.gather(*(_fetch(self._sockets[number]) for number in numbers))
        pages = {number: page for number, page in zip(numbers, found, strict=True) if page}
        return self._merge(pages)


async def _fetch(path: Path) -> bytes | None:
    connector = aiohttp.UnixConnector(str(path))
    try:
        async with (
            aiohttp.ClientSession(connector=connector, timeout=_PATIENCE) as session,
            session.get(_URL) as answer,
        ):
            return await answer.read()
    except (OSError, TimeoutError, aiohttp.ClientError):
        return None


class _Labelled:
    def __init__(self, pages: Mapping[int, bytes]) -> None:
        self._pages = pages

    def collect(self) -> Iterator[Family]:
        families: dict[str, Any] = {}
        for number, page in self._pages.items():
            for family in text_string_to_metric_families(page.decode()):
                whole = families.setdefault(
                    family.name, Family(family.name, family.documentation, family.type)
                )
                for sample in family.samples:
                    labels = sample.labels | {"worker": str(number)}
                    whole.add_sample(sample.name, labels, sample.value)
        yield from families.values()
