"""The parent's page: of workers that run, that hang, and that are no more."""

from __future__ import annotations

import asyncio
import tempfile
from collections.abc import Iterator
from pathlib import Path

import aiohttp
import pytest

from telemetry import worker_pages
from telemetry.metrics import ACTIVE_STREAMS, CALLS, Metrics
from telemetry.metrics_listener import MetricsListener, listen
from telemetry.worker_pages import WorkerPages
from tests.support.metrics_page import series

KNOWN = {"method": {"A"}, "reason": {"OK"}}


@pytest.fixture
def sockets() -> Iterator[Path]:
    with tempfile.TemporaryDirectory(prefix="llmbase-", dir="/tmp") as directory:
        yield Path(directory)  # a socket's path is short


async def _worker(path: Path, calls: int, streams: int) -> MetricsListener:
    metrics = Metrics(KNOWN)
    metrics.count(CALLS, calls, method="A", reason="OK")
    metrics.set(ACTIVE_STREAMS, streams)
    return await listen(metrics, f"unix:{path}")


def _told(page: bytes) -> tuple[float, float]:
    found = series(page)
    return found["llmbase_calls_total", ("A", "OK")], found["llmbase_active_streams", ()]


async def test_the_parents_listener_shows_all_workers_as_one(sockets: Path) -> None:
    pages = WorkerPages()
    workers = [await _worker(sockets / name, 3, 1) for name in ("a", "b")]
    for name in ("a", "b"):
        pages.add(str(sockets / name))
    parent = await listen(pages, "127.0.0.1:0")
    try:
        async with (
            aiohttp.ClientSession(f"http://{parent.address}") as session,
            session.get("/metrics") as answer,
        ):
            assert answer.status == 200
            assert _told(await answer.read()) == (6, 2)
    finally:
        for listener in (parent, *workers):
            await listener.close()


async def test_what_a_worker_counted_stays_when_it_has_ended(sockets: Path) -> None:
    pages = WorkerPages()
    one, two = await _worker(sockets / "a", 5, 4), await _worker(sockets / "b", 1, 1)
    pages.add(str(sockets / "a"))
    pages.add(str(sockets / "b"))
    assert _told(await pages.render()) == (6, 5)
    await one.close()
    pages.end(str(sockets / "a"))
    assert _told(await pages.render()) == (6, 1)
    again = await _worker(sockets / "c", 2, 2)
    pages.add(str(sockets / "c"))
    assert _told(await pages.render()) == (8, 3)
    for listener in (two, again):
        await listener.close()


async def test_a_worker_that_hangs_stands_as_it_did(
    sockets: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(worker_pages, "_PATIENCE", 0.05)
    pages = WorkerPages()
    worker = await _worker(sockets / "a", 5, 4)
    pages.add(str(sockets / "a"))
    assert _told(await pages.render()) == (5, 4)
    await worker.close()

    async def silent(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read()
        writer.close()

    (sockets / "a").unlink(missing_ok=True)
    server = await asyncio.start_unix_server(silent, sockets / "a")
    assert _told(await pages.render()) == (5, 4)
    server.close()
    await server.wait_closed()
    (sockets / "a").unlink(missing_ok=True)
    assert _told(await pages.render()) == (5, 4)
