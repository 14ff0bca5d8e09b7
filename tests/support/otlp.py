"""A real OTLP receiver (oteltap: an HTTP server in native code), and the spans that it got."""

from __future__ import annotations

import asyncio
import contextlib
import socket
import threading
import time
from collections.abc import Callable, Iterator
from typing import Any

from tests.support.parts import require_part

try:
    import oteltap
except ImportError:  # pragma: no cover
    oteltap = None

_PATIENCE = 15.0  # seconds for spans to arrive


class Span:
    """A span as it came over the wire."""

    def __init__(self, raw: Any) -> None:
        self.raw = raw
        self.name: str = raw.name
        self.trace_id: str = raw.trace_id.hex()
        self.id: str = raw.span_id.hex()
        self.parent: str = raw.parent_span_id.hex()
        self.attributes = {it.key: _value(it.value) for it in raw.attributes}
        self.events = [event.name for event in raw.events]
        self.failed: bool = raw.status.code == 2

    def __repr__(self) -> str:
        return f"{self.name} {self.attributes}"


class Spans:
    """What has come so far. `url` is the receiver's base URL."""

    def __init__(self) -> None:
        self.url = ""
        self.all: list[Span] = []
        self.raw = b""  # all that came, in bytes

    async def of(self, request_id: str, count: int) -> list[Span]:
        """Return so many spans of the trace that the request of that id belongs to."""
        return await self.until(lambda: self._of(request_id), count)

    async def of_trace(self, trace_id: str, count: int) -> list[Span]:
        """Return so many spans of a trace."""
        return await self.until(lambda: [it for it in self.all if it.trace_id == trace_id], count)

    async def until(self, found: Callable[[], list[Span]], count: int) -> list[Span]:
        """Return what is found as soon as it is so many. Fails when they do not come."""
        until = time.monotonic() + _PATIENCE
        while len(found()) < count:
            assert time.monotonic() < until, f"not {count} spans, but {found()} of {self.all}"
            await asyncio.sleep(0.02)
        return found()

    def _of(self, request_id: str) -> list[Span]:
        mine = [it for it in self.all if it.attributes.get("llmbase.request_id") == request_id]
        return [it for it in self.all if mine and it.trace_id == mine[0].trace_id]


@contextlib.contextmanager
def receiving() -> Iterator[Spans]:
    """Run a receiver in a thread of its own: tests come and go, and their loops."""
    require_part(oteltap, "oteltap, a real OTLP receiver, is not installed")
    spans = Spans()
    ready = threading.Event()
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    spans.url = f"http://127.0.0.1:{port}"
    loop = asyncio.new_event_loop()
    stop = asyncio.Event()

    async def read(receiver: Any) -> None:
        async for raw in receiver.stream_traces():
            spans.raw += raw.SerializeToString()
            spans.all.append(Span(raw))

    async def serve() -> None:
        settings = oteltap.OtelTapHttpProtobufReceiverSettings(http_port=port)
        async with oteltap.OtelTapHttpProtobufReceiver(settings) as receiver:
            reading = asyncio.create_task(read(receiver))
            await asyncio.sleep(0)  # what comes before somebody reads is not kept
            ready.set()
            await stop.wait()
            reading.cancel()
            await asyncio.wait([reading])

    thread = threading.Thread(target=lambda: loop.run_until_complete(serve()))
    thread.start()
    try:
        assert ready.wait(10)
        yield spans
    finally:
        loop.call_soon_threadsafe(stop.set)
        thread.join()
        loop.run_until_complete(loop.shutdown_default_executor())
        loop.close()


def named(spans: list[Span], beginning: str) -> list[Span]:
    """Return the spans whose names begin so, in the order in which they started."""
    found = [span for span in spans if span.name.startswith(beginning)]
    return sorted(found, key=lambda span: span.raw.start_time_unix_nano)


def _value(value: Any) -> Any:
    kind = value.WhichOneof("value")
    if kind == "array_value":
        return [_value(it) for it in value.array_value.values]
    return getattr(value, kind)
