"""A tracer that keeps its spans, and counts what is done with them."""

from __future__ import annotations

from typing import Any

from telemetry.trace_context import TraceContext


class RecordedSpan:
    def __init__(self, tracer: RecordingTracer, name: str, parent: Any, attributes: Any) -> None:
        self.tracer = tracer
        self.name = name
        self.parent = parent
        self.told = {it.name: value for it, value in attributes.items()}
        self.events: list[str] = []
        self.error: tuple[str, bool] | None = None
        self.ended = 0
        self.recording = True
        self.content = tracer.content
        tracer.spans.append(self)
        self.context = TraceContext(f"00-{1:032x}-{len(tracer.spans):016x}-01")

    def child(self, name: str, attributes: Any) -> RecordedSpan:
        return RecordedSpan(self.tracer, name, self, attributes)

    def set(self, attribute: Any, value: Any) -> None:
        self.tracer.done += 1
        if not self.ended:
            self.told[attribute.name] = value

    def event(self, name: str) -> None:
        self.tracer.done += 1
        self.events.append(name)

    def fail(self, reason: str, *, ours: bool = True) -> None:
        self.tracer.done += 1
        if not self.ended:
            self.error = (reason, ours)

    def end(self) -> None:
        self.ended += 1


class RecordingTracer:
    """`done` counts what was said of spans."""

    def __init__(self, *, content: bool = False) -> None:
        self.content = content
        self.spans: list[RecordedSpan] = []
        self.done = 0

    def serve(self, name: str, parent: TraceContext | None, attributes: Any) -> RecordedSpan:
        return RecordedSpan(self, name, parent, attributes)

    async def close(self) -> None:
        pass
