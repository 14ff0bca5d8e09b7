"""Spans for real: OpenTelemetry's, sent as OTLP over HTTP by a thread of their own.

The one place that imports OpenTelemetry. What is ended waits in a bounded queue, and the oldest go
first when nobody takes them: no call ever waits for a collector.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import math
import threading
import time
from collections.abc import Callable, Sequence
from urllib.parse import urlsplit

from opentelemetry import trace
from opentelemetry.context import Context
from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import ReadableSpan, SpanLimits, TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor, SpanExporter, SpanExportResult
from opentelemetry.sdk.trace.sampling import ParentBased, TraceIdRatioBased
from opentelemetry.trace import NonRecordingSpan, SpanContext, SpanKind, TraceFlags, TraceState
from opentelemetry.trace.status import Status, StatusCode

from telemetry.redaction import without_keys
from telemetry.spans import CONTENT, ERROR_TYPE, Attribute
from telemetry.trace_context import TraceContext
from telemetry.tracing import NO_SPAN, Attributes, Span, TracingSettings, Value

_LOG = logging.getLogger("llmbase.tracing")

_QUEUE = 4096  # spans that wait to be sent
_BATCH = 512  # spans in one request
_DELAY = 1000  # milliseconds between two requests, at most
_PATIENCE = 5.0  # seconds for a collector's answer, repeats included
_FLUSH = 2.0  # seconds for the last spans when the process ends
_LONGEST = 2**10  # characters of a value that is not content
_QUIET = 60.0  # seconds between two log lines about a collector that is away


class OtelTracer:
    """Sends to one OTLP endpoint: `/v1/traces` below the base URL `endpoint`."""

    def __init__(self, settings: TracingSettings, endpoint: str, version: str) -> None:
        # What the libraries log may quote a collector's answer; what has to be known we say.
        logging.getLogger("opentelemetry").setLevel(logging.CRITICAL + 1)
        self._content = settings.content
        self._host = urlsplit(endpoint).hostname or ""
        exporter = OTLPSpanExporter(
            endpoint=f"{endpoint.rstrip('/')}/v1/traces",
            headers=dict(settings.headers) or None,
            timeout=_PATIENCE,
        )
        self._told = _Told(exporter, self._host, time.monotonic)
        self._processor = BatchSpanProcessor(
            self._told,
            max_queue_size=_QUEUE,
            max_export_batch_size=_BATCH,
            schedule_delay_millis=_DELAY,
        )
        self._provider = TracerProvider(
            sampler=ParentBased(TraceIdRatioBased(settings.sampling)),
            # What OTEL_SERVICE_NAME and OTEL_RESOURCE_ATTRIBUTES say comes before ours.
            resource=Resource({"service.name": settings.service, "service.version": version}).merge(
                _named(Resource.create())
            ),
            span_limits=SpanLimits(max_span_attribute_length=2**17),
            shutdown_on_exit=False,  # that would wait for half a minute; `close` does not
        )
        self._provider.add_span_processor(self._processor)
        self._tracer = self._provider.get_tracer("llmbase", version)

    def serve(self, name: str, parent: TraceContext | None, attributes: Attributes) -> Span:
        """Start a span for a request; without a parent a trace begins."""
        context = Context() if parent is None else _context(parent)
        return self.start(name, SpanKind.SERVER, context, attributes)

    def start(self, name: str, kind: SpanKind, parent: Context, attributes: Attributes) -> Span:
        """Start a span of any kind."""
        told = {it.name: _harmless(value) for it, value in attributes.items()}
        span = self._tracer.start_span(_plain(name), parent, kind, told)
        if span.is_recording():
            return _OtelSpan(self, span, self._content)
        context = span.get_span_context()
        # Not valid where the environment has switched the whole library off.
        return _Unsampled(_told(context)) if context.is_valid else NO_SPAN

    async def close(self) -> None:
        """Send what is still to be sent; after two seconds what is left is given up."""
        loop = asyncio.get_running_loop()
        sent = asyncio.Event()

        def shut() -> None:
            self._processor.shutdown()  # type: ignore[no-untyped-call]
            with contextlib.suppress(RuntimeError):  # the loop is closed: nobody waits any more
                loop.call_soon_threadsafe(sent.set)

        # A thread that nobody joins: one of the loop's executor would hold up the process's end.
        threading.Thread(target=shut, name="llmbase-last-spans", daemon=True).start()
        try:
            async with asyncio.timeout(_FLUSH):
                await sent.wait()
        except TimeoutError:
            # Nor may it log any more: a thread that the process's end finds writing is fatal.
            self._told.quiet = True
            _LOG.warning("spans lost", extra={"collector": self._host, "at_the_end": True})


class _OtelSpan:
    """A span that is recorded."""

    __slots__ = ("_span", "_tracer", "content", "context")

    recording = True

    def __init__(self, tracer: OtelTracer, span: trace.Span, content: bool) -> None:
        self._tracer = tracer
        self._span = span
        self.content = content
        self.context = _told(span.get_span_context())

    def child(self, name: str, attributes: Attributes = {}) -> Span:  # noqa: B006 - not changed
        parent = trace.set_span_in_context(self._span, Context())
        return self._tracer.start(name, SpanKind.CLIENT, parent, attributes)

    def set(self, attribute: Attribute, value: Value) -> None:
        if attribute not in CONTENT:  # that is redacted already, with more knowledge
            value = _harmless(value)
        self._span.set_attribute(attribute.name, value)

    def event(self, name: str) -> None:
        self._span.add_event(name)

    def fail(self, reason: str, *, ours: bool = True) -> None:
        self._span.set_attribute(ERROR_TYPE.name, reason)
        if ours:
            self._span.set_status(Status(StatusCode.ERROR))

    def end(self) -> None:
        if self._span.is_recording():  # a second end would be a warning
            self._span.end()


class _Unsampled:
    """A span of a trace that is not recorded: it hands on that it is not."""

    __slots__ = ("context",)

    recording = False
    content = False

    def __init__(self, context: TraceContext) -> None:
        self.context = context

    def child(self, name: str, attributes: Attributes = {}) -> Span:  # noqa: B006 - not changed
        return self

    def set(self, attribute: Attribute, value: Value) -> None:
        pass

    def event(self, name: str) -> None:
        pass

    def fail(self, reason: str, *, ours: bool = True) -> None:
        pass

    def end(self) -> None:
        pass


class _Told(SpanExporter):
    """Exports, and logs when that begins to fail and when it works again. Runs in the thread.

    `clock` gives monotonic seconds.
    """

    def __init__(self, exporter: SpanExporter, host: str, clock: Callable[[], float]) -> None:
        self._exporter = exporter
        self._host = host
        self._clock = clock
        self.quiet = False
        self._lost = 0  # since it began to fail
        self._said_at = -math.inf

    def export(self, spans: Sequence[ReadableSpan]) -> SpanExportResult:
        result = self._exporter.export(spans)
        if self.quiet:
            return result
        if result is not SpanExportResult.SUCCESS:
            self._lost += len(spans)
            now = self._clock()
            if now - self._said_at >= _QUIET:
                self._said_at = now
                _LOG.warning("spans lost", extra={"spans": self._lost, "collector": self._host})
        elif self._lost:
            _LOG.info("spans are taken again", extra={"lost": self._lost, "collector": self._host})
            self._lost = 0
        return result

    def shutdown(self) -> None:
        self._exporter.shutdown()


def _plain(text: str) -> str:
    """Return a name or a value without what looks like a key: a caller can send one as anything."""
    return without_keys(text, _LONGEST)


def _harmless(value: Value) -> Value:
    return _plain(value) if isinstance(value, str) else value


def _context(parent: TraceContext) -> Context:
    state = TraceState.from_header([parent.tracestate]) if parent.tracestate else None
    remote = SpanContext(
        parent.trace_id, parent.span_id, True, TraceFlags(parent.flags & TraceFlags.SAMPLED), state
    )
    return trace.set_span_in_context(NonRecordingSpan(remote), Context())


def _told(context: SpanContext) -> TraceContext:
    flags = context.trace_flags & TraceFlags.SAMPLED
    parent = f"00-{context.trace_id:032x}-{context.span_id:016x}-{flags:02x}"
    return TraceContext(parent, context.trace_state.to_header() if context.trace_state else "")


def _named(found: Resource) -> Resource:
    """Return what the environment says, without a name that the library has made up."""
    made_up = str(found.attributes.get("service.name", "")).startswith("unknown_service")
    attributes = dict(found.attributes)
    if made_up:
        attributes.pop("service.name")
    return Resource(attributes)
