"""How long telemetry waits for others, in virtual time."""

from __future__ import annotations

import asyncio
import threading
from pathlib import Path

import pytest

from telemetry import metrics_listener
from telemetry.otel import OtelTracer
from telemetry.tracing import TracingSettings
from telemetry.worker_pages import WorkerPages
from tests.unit.virtual_time import in_virtual_time, now


@in_virtual_time
async def test_a_workers_page_is_waited_for_two_seconds(tmp_path: Path) -> None:
    async def silent(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read()
        writer.close()

    server = await asyncio.start_unix_server(silent, tmp_path / "a")
    pages = WorkerPages()
    pages.add(str(tmp_path / "a"))
    await pages.render()
    assert now() == 2
    server.close()
    await server.wait_closed()


class _Hangs:
    async def render(self) -> bytes:
        await asyncio.Event().wait()
        return b""


@in_virtual_time
async def test_a_page_that_is_on_its_way_has_two_seconds_at_the_end(tmp_path: Path) -> None:
    listener = await metrics_listener.listen(_Hangs(), f"unix:{tmp_path}/a")
    reader, writer = await asyncio.open_unix_connection(tmp_path / "a")
    writer.write(b"GET /metrics HTTP/1.1\r\nHost: x\r\n\r\n")
    await asyncio.sleep(1)
    await listener.close()
    assert now() == 3
    assert await reader.read() == b""
    writer.close()


@in_virtual_time
async def test_the_last_spans_have_two_seconds(monkeypatch: pytest.MonkeyPatch) -> None:
    release = threading.Event()
    tracer = OtelTracer(TracingSettings(), "http://127.0.0.1:1", "1.2.3")
    shut_down = tracer._processor.shutdown
    monkeypatch.setattr(tracer._processor, "shutdown", release.wait)
    try:
        await tracer.close()
        assert now() == 2
    finally:
        release.set()
        shut_down()
