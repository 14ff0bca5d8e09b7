"""One JSON object per line: what a call brings, and of exceptions only type and place."""

from __future__ import annotations

import io
import json
import logging
import sys
from collections.abc import Iterator
from datetime import UTC, datetime

import pytest

from telemetry import log


@pytest.fixture
def written(monkeypatch: pytest.MonkeyPatch) -> Iterator[io.StringIO]:
    """What a process writes to standard error after `to_stderr`; all is put back afterwards."""
    root, stream = logging.getLogger(), io.StringIO()
    handlers, level = root.handlers[:], root.level
    for name in ("_srcfile", "logThreads", "logProcesses", "logMultiprocessing"):
        monkeypatch.setattr(logging, name, getattr(logging, name))
    monkeypatch.setattr(sys, "stderr", stream)
    log.to_stderr("info")
    yield stream
    root.handlers[:] = handlers
    root.setLevel(level)


def test_a_line_holds_what_the_call_brings_in_its_order(written: io.StringIO) -> None:
    extra = {"request_id": "req_1", "key": None, "ms": 1.5, "a": "ü"}
    logging.getLogger("llmbase.x").info("call %d", 7, extra=extra)
    line = json.loads(written.getvalue())
    assert line.pop("time").endswith("+00:00")
    assert list(line.items()) == [
        ("level", "info"),
        ("logger", "llmbase.x"),
        ("message", "call 7"),
        *extra.items(),
    ]


def test_an_exception_is_told_by_type_and_place_never_by_its_text(written: io.StringIO) -> None:
    try:
        raise ValueError("a secret")
    except ValueError:
        logging.getLogger("llmbase.x").exception("fault", extra={"n": 1})
    line = json.loads(written.getvalue())
    assert line["fault"] == "ValueError"
    assert "test_log.py" in line["at"][0]
    assert line["n"] == 1
    assert "secret" not in written.getvalue()


def test_lines_below_the_level_are_not_written(written: io.StringIO) -> None:
    logging.getLogger("llmbase.x").debug("nothing")
    assert written.getvalue() == ""


def test_a_line_without_a_record_reads_as_one_with_it(written: io.StringIO) -> None:
    logger, fields = logging.getLogger("llmbase.x"), {"request_id": "req_1", "ms": 1.5}
    logger.info("call", extra=fields)
    log.write(logger, "call", fields)
    one, other = map(json.loads, written.getvalue().splitlines())
    for line in (one, other):
        assert datetime.fromisoformat(line["time"]).tzinfo == UTC
        line["time"] = "now"
    assert list(one.items()) == list(other.items())


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (0.0, "1970-01-01T00:00:00.000+00:00"),
        (0.0078125, "1970-01-01T00:00:00.007+00:00"),
        (61.0625, "1970-01-01T00:01:01.062+00:00"),
        (61.9999, "1970-01-01T00:01:01.999+00:00"),
    ],
)
def test_a_lines_time_has_milliseconds_and_is_never_ahead(seconds: float, text: str) -> None:
    record = logging.makeLogRecord({"created": seconds, "name": "x", "msg": "m"})
    assert json.loads(log.JsonLines().format(record))["time"] == text


def test_whoever_else_listens_gets_the_record(
    written: io.StringIO, caplog: pytest.LogCaptureFixture
) -> None:
    logging.getLogger().addHandler(caplog.handler)
    log.write(logging.getLogger("llmbase.x"), "call", {"request_id": "req_1"})
    (record,) = caplog.records
    assert (record.getMessage(), vars(record)["request_id"]) == ("call", "req_1")
    assert json.loads(written.getvalue())["request_id"] == "req_1"


def test_a_line_of_a_call_is_left_out_below_the_level(written: io.StringIO) -> None:
    log.to_stderr("warning")
    log.write(logging.getLogger("llmbase.x"), "call", {})
    assert written.getvalue() == ""


def test_a_log_that_nobody_reads_any_more_fails_no_call(written: io.StringIO) -> None:
    written.close()
    log.write(logging.getLogger("llmbase.x"), "call", {})
