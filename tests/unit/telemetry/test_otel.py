"""Spans that are sent: what arrives, and what becomes of those that nobody takes."""

import asyncio
import contextlib
import logging
import socket
import threading
import time
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer

import pytest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

from telemetry import otel, spans
from telemetry.otel import OtelTracer
from telemetry.trace_context import TraceContext, parse
from telemetry.tracing import TracingSettings

ID, SPAN = "4bf92f3577b34da6a3ce929d0e0e4736", "00f067aa0ba902b7"


class Collector:
    """An HTTP server that keeps what it is sent."""

    def __init__(self) -> None:
        self.requests: list[tuple[str, dict[str, str], ExportTraceServiceRequest]] = []
        collector = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["content-length"]))
                told = ExportTraceServiceRequest.FromString(body)
                headers = {name.lower(): value for name, value in self.headers.items()}
                collector.requests.append((self.path, headers, told))
                self.send_response(200)
                self.end_headers()

            def log_message(self, *_: object) -> None:
                pass

        self._server = HTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self._server.server_port}"

    @contextlib.contextmanager
    def running(self) -> Iterator["Collector"]:
        thread = threading.Thread(target=self._server.serve_forever, args=(0.05,))
        thread.start()
        try:
            yield self
        finally:
            self._server.shutdown()
            thread.join()
            self._server.server_close()

    @property
    def spans(self) -> list:
        return [
            span
            for _, _, told in self.requests
            for resource in told.resource_spans
            for scope in resource.scope_spans
            for span in scope.spans
        ]

    def resource(self) -> dict[str, str]:
        attributes = self.requests[0][2].resource_spans[0].resource.attributes
        return {it.key: it.value.string_value for it in attributes}


@pytest.fixture
def collector() -> Iterator[Collector]:
    with Collector().running() as running:
        yield running


def _tracer(url: str, **settings: object) -> OtelTracer:
    return OtelTracer(TracingSettings(url, **settings), url, "1.2.3")  # type: ignore[arg-type]


async def test_spans_arrive_with_the_name_of_their_process(collector: Collector) -> None:
    tracer = _tracer(f"{collector.url}/base/", service="here", headers={"authorization": "x y"})
    span = tracer.serve("rpc", None, {spans.RPC_SYSTEM: "grpc"})
    child = span.child("chat m", {spans.MODEL: "m"})
    child.event(spans.FIRST_CONTENT)
    child.fail("slow")
    child.end()
    span.fail("INVALID_REQUEST", ours=False)
    span.end()
    await tracer.close()
    path, headers, _ = collector.requests[0]
    assert (path, headers["authorization"]) == ("/base/v1/traces", "x y")
    assert (
        collector.resource().items() >= {"service.name": "here", "service.version": "1.2.3"}.items()
    )
    inner, outer = collector.spans
    assert (outer.name, outer.kind, outer.status.code) == ("rpc", 2, 0)
    assert (inner.name, inner.kind, inner.status.code) == ("chat m", 3, 2)
    assert inner.parent_span_id == outer.span_id
    assert [event.name for event in inner.events] == [spans.FIRST_CONTENT]


async def test_the_environment_may_name_the_process(
    collector: Collector, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OTEL_SERVICE_NAME", "elsewhere")
    monkeypatch.setenv("OTEL_RESOURCE_ATTRIBUTES", "deployment.environment=test")
    tracer = _tracer(collector.url, service="here")
    tracer.serve("rpc", None, {}).end()
    await tracer.close()
    expected = {"service.name": "elsewhere", "deployment.environment": "test"}
    assert collector.resource().items() >= expected.items()


async def test_a_trace_that_came_goes_on_with_its_state_and_its_decision(
    collector: Collector,
) -> None:
    tracer = _tracer(collector.url, sampling=0.0)
    wanted = tracer.serve("a", TraceContext(f"00-{ID}-{SPAN}-01", "v=1"), {})
    unwanted = tracer.serve("b", TraceContext(f"00-{ID}-{SPAN}-00", "v=1"), {})
    fresh = tracer.serve("c", None, {})
    assert [it.recording for it in (wanted, unwanted, fresh)] == [True, False, False]
    for span, flags, state in ((wanted, 1, "v=1"), (unwanted, 0, "v=1"), (fresh, 0, "")):
        assert span.context is not None
        assert span.context.flags == flags
        assert span.context.tracestate == state
        assert parse(*span.context) == span.context
    assert unwanted.child("d") is unwanted
    wanted.child("d").end()
    wanted.end()
    wanted.end()  # a second time is nothing
    await tracer.close()
    assert [span.name for span in collector.spans] == ["d", "a"]
    assert collector.spans[1].parent_span_id.hex() == SPAN


async def test_what_looks_like_a_key_is_in_no_value(collector: Collector) -> None:
    tracer = _tracer(collector.url)
    key = "llmbase_0123456789abcdef"
    span = tracer.serve(f"GET /{key}", None, {spans.HTTP_ROUTE: key})
    span.set(spans.REQUEST_ID, key)
    span.end()
    await tracer.close()
    assert len(collector.spans) == 1
    assert key.encode() not in collector.requests[0][2].SerializeToString()


async def test_a_switch_for_the_whole_library_holds(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OTEL_SDK_DISABLED", "true")
    tracer = _tracer("http://127.0.0.1:1")
    assert not tracer.serve("a", None, {}).recording
    await tracer.close()


async def test_a_collector_that_hangs_costs_two_seconds_at_the_end_and_nothing_before(
    caplog: pytest.LogCaptureFixture,
) -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        tracer = _tracer(f"http://127.0.0.1:{silent.getsockname()[1]}")
        began = time.monotonic()
        for _ in range(3 * otel._QUEUE):
            tracer.serve("a", None, {}).end()
        made = time.monotonic() - began
        assert len(tracer._processor._batch_processor._queue) <= otel._QUEUE
        began = time.monotonic()
        with caplog.at_level(logging.WARNING):
            await tracer.close()
        assert time.monotonic() - began < otel._FLUSH + 5
        assert made < 20
    assert [record.getMessage() for record in caplog.records] == ["spans lost"]


async def test_whoever_is_cancelled_while_the_last_spans_are_sent_is_cancelled() -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        tracer = _tracer(f"http://127.0.0.1:{silent.getsockname()[1]}")
        tracer.serve("a", None, {}).end()
        closing = asyncio.create_task(tracer.close())
        await asyncio.sleep(0.05)
        closing.cancel()
        with pytest.raises(asyncio.CancelledError):
            await closing


class _Exporter:
    def __init__(self) -> None:
        self.works = False

    def export(self, batch):
        success = otel.SpanExportResult.SUCCESS
        return success if self.works else otel.SpanExportResult.FAILURE

    def shutdown(self) -> None:
        pass


def test_a_collector_that_is_away_is_told_of_once_a_minute_and_so_is_its_return(
    caplog: pytest.LogCaptureFixture,
) -> None:
    now = 0.0
    exporter = _Exporter()
    told = otel._Told(exporter, "otel.example", lambda: now)
    with caplog.at_level(logging.INFO, "llmbase.tracing"):
        told.export([None, None])
        for now in (1.0, 59.0, 60.0, 61.0):  # noqa: B007 - the clock reads it
            told.export([None])
        exporter.works = True
        told.export([None])
    first, still, again = caplog.records
    assert (first.getMessage(), first.spans, first.collector) == ("spans lost", 2, "otel.example")
    assert (still.getMessage(), still.spans) == ("spans lost", 5)
    assert (again.getMessage(), again.lost) == ("spans are taken again", 6)
