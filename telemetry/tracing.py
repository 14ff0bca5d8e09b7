"""What the rest knows of tracing: spans that may be nothing, and a tracer that makes them.

Nothing of OpenTelemetry is imported here: without a place to send spans to none are made, and a
call costs the asking whether they are.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Protocol, TypeAlias

from telemetry.spans import Attribute
from telemetry.trace_context import TraceContext

Value: TypeAlias = str | bool | int | float | Sequence[str]
Attributes: TypeAlias = Mapping[Attribute, Value]

_NO_ATTRIBUTES: Attributes = {}


class TracingUnavailable(ValueError):
    """The libraries of `llmbase[otel]` are not installed, or cannot do what is asked."""


@dataclass(frozen=True, slots=True)
class TracingSettings:
    """Where spans go: the base URL of an OTLP endpoint (HTTP, protobuf), or no tracing.

    `sampling` is the share of the traces that begin here and are recorded; whoever began a trace
    elsewhere has decided. `service` is the process's name in traces. `headers` are sent along, and
    may be secrets.
    """

    endpoint: str | None = None
    sampling: float = 1.0
    content: bool = False
    service: str = "llmbase"
    headers: Mapping[str, str] = field(default_factory=dict)


class Span(Protocol):
    """A piece of work. Whoever starts one ends it; what comes after the end has no effect."""

    @property
    def recording(self) -> bool:
        """Whether anybody will see what is set: else it need not be made."""
        ...

    @property
    def content(self) -> bool:
        """Whether it is to have what was asked and answered."""
        ...

    @property
    def context(self) -> TraceContext | None:
        """What is told to whoever is asked on its behalf; None: what the caller said."""
        ...

    def child(self, name: str, attributes: Attributes = _NO_ATTRIBUTES) -> Span:
        """Start a span for asking somebody else, within this one."""
        ...

    def set(self, attribute: Attribute, value: Value) -> None:
        """Say something."""
        ...

    def event(self, name: str) -> None:
        """Something has happened, now."""
        ...

    def fail(self, reason: str, *, ours: bool = True) -> None:
        """Say why it failed; not `ours`: who asked is to blame, or has left."""
        ...

    def end(self) -> None:
        """It is over."""
        ...


class Tracer(Protocol):
    """Starts spans for what others ask of this process."""

    def serve(self, name: str, parent: TraceContext | None, attributes: Attributes) -> Span:
        """Start a span for a request; without a parent a trace begins."""
        ...

    async def close(self) -> None:
        """Send what is still to be sent, for a bounded time."""
        ...


class _NoSpan:
    __slots__ = ("content", "context", "recording")  # which every call asks for, often

    def __init__(self) -> None:
        self.recording = False
        self.content = False
        self.context = None

    def child(self, name: str, attributes: Attributes = _NO_ATTRIBUTES) -> Span:
        return self

    def set(self, attribute: Attribute, value: Value) -> None:
        pass

    def event(self, name: str) -> None:
        pass

    def fail(self, reason: str, *, ours: bool = True) -> None:
        pass

    def end(self) -> None:
        pass


NO_SPAN: Span = _NoSpan()


class _NoTracer:
    def serve(self, name: str, parent: TraceContext | None, attributes: Attributes) -> Span:
        return NO_SPAN

    async def close(self) -> None:
        pass


NO_TRACER: Tracer = _NoTracer()


def open_tracer(settings: TracingSettings, version: str) -> Tracer:
    """Return what makes spans; `version` is ours. Raises TracingUnavailable."""
    if settings.endpoint is None:
        return NO_TRACER
    if not settings.endpoint.startswith(("http://", "https://")):
        raise TracingUnavailable("traces: the OTLP endpoint must be an http(s) URL")
    try:
        from telemetry.otel import OtelTracer  # noqa: PLC0415 - not imported unless it is used
    except ImportError:
        raise TracingUnavailable("traces: needs pip install 'llmbase[otel]'") from None
    return OtelTracer(settings, settings.endpoint, version)
