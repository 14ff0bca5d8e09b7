"""While there are no traces nothing of them is there, and nothing is made."""

import subprocess
import sys

import pytest

from telemetry.spans import MODEL
from telemetry.tracing import (
    NO_SPAN,
    NO_TRACER,
    TracingSettings,
    TracingUnavailable,
    open_tracer,
)

IMPORTED = """
import sys
import cli.up, cli.service, cli.gateway
from telemetry.tracing import TracingSettings, open_tracer
open_tracer(TracingSettings(), "1")
assert "gateway.front" in sys.modules and "service.server" in sys.modules
print([name for name in sys.modules if name.startswith(("opentelemetry", "requests"))])
"""


def test_opentelemetry_is_not_imported_while_there_are_no_traces() -> None:
    run = subprocess.run(
        [sys.executable, "-c", IMPORTED], capture_output=True, text=True, check=False
    )
    assert (run.stdout, run.returncode) == ("[]\n", 0), run.stderr


async def test_nothing_is_made_where_nobody_looks() -> None:
    tracer = open_tracer(TracingSettings(), "1")
    assert tracer is NO_TRACER
    span = tracer.serve("name", None, {})
    assert span is NO_SPAN
    assert span.child("name") is span
    assert (span.recording, span.content, span.context) == (False, False, None)
    span.set(MODEL, "m")
    span.event("e")
    span.fail("r")
    span.end()
    await tracer.close()


def test_what_is_missing_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "telemetry.otel", None)
    with pytest.raises(TracingUnavailable, match=r"pip install 'llmbase\[otel\]'"):
        open_tracer(TracingSettings("http://127.0.0.1:4318"), "1")
