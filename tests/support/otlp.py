"""A real OTLP receiver (oteltap: an HTTP server in native code), and the spans that it got."""

from __future__ import annotations

import asyncio
import socket
import time
from collections.abc import Callable
from types import TracebackType
from typing import Any, Self

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
    """A receiver; to be entered as a context. `url` is its base URL."""

    def __init__(self) -> None:
        self.all: list[Span] = []
        self.raw = b""  # all that came, in bytes

    async def __aenter__(self) -> Self:
        require_part(oteltap, "oteltap, a real OTLP receiver, is not installed")
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            port = probe.getsockname()[1]
        self.url = f"http://127.0.0.1:{port}"
        settings = oteltap.OtelTapHttpProtobufReceiverSettings(http_port=port)
        self._receiver = oteltap.OtelTapHttpProtobufReceiver(settings)
        await self._receiver.start()
        self._reading = asyncio.create_task(self._read())
        await asyncio.sleep(0)  # what comes before somebody reads is not kept
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._reading.cancel()
        await asyncio.wait([self._reading])
        await self._receiver.stop()

    async def until(self, enough: Callable[[list[Span]], object]) -> list[Span]:
        """Return all spans as soon as there are enough. Fails when they do not come."""
        until = time.monotonic() + _PATIENCE
        while not enough(self.all):
            assert time.monotonic() < until, f"not enough spans: {self.all}"
            await asyncio.sleep(0.02)
        return self.all

    async def _read(self) -> None:
        async for raw in self._receiver.stream_traces():
            self.raw += raw.SerializeToString()
            self.all.append(Span(raw))


def named(spans: list[Span], beginning: str) -> list[Span]:
    """Return the spans whose names begin so, in the order in which they started."""
    found = [span for span in spans if span.name.startswith(beginning)]
    return sorted(found, key=lambda span: span.raw.start_time_unix_nano)


def _value(value: Any) -> Any:
    kind = value.WhichOneof("value")
    if kind == "array_value":
        return [_value(it) for it in value.array_value.values]
    return getattr(value, kind)
