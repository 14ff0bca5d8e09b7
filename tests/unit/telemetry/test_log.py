"""One JSON object per line: what a call brings, and of exceptions only type and place."""

from __future__ import annotations

import io
import json
import logging
import sys
from collections.abc import Iterator

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
