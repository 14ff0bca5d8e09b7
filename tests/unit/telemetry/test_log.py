"""One JSON object per line: what a call brings, and of exceptions only type and place."""

from __future__ import annotations

import asyncio
import io
import json
import logging
import subprocess
import sys
import threading
from collections.abc import Iterator
from datetime import UTC, datetime

import pytest

from telemetry import log
from tests.unit.virtual_time import VirtualTimeLoop, in_virtual_time, now, timers

HELD = 0.05  # seconds
TOGETHER = 64  # lines


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
    _alone()
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
    _alone()
    log.write(logging.getLogger("llmbase.x"), "call", {})
    assert written.getvalue() == ""


def test_a_log_that_nobody_reads_any_more_fails_no_call(written: io.StringIO) -> None:
    _alone()
    written.close()
    log.write(logging.getLogger("llmbase.x"), "call", {})


class _Pipe(io.StringIO):
    """Remembers what came with each write; some writes fail."""

    def __init__(self, failing: int = 0) -> None:
        super().__init__()
        self.pieces: list[str] = []
        self._failing = failing

    def write(self, text: str) -> int:
        if self._failing:
            self._failing -= 1
            raise BlockingIOError
        self.pieces.append(text)
        return super().write(text)


def _alone(stream: io.StringIO | None = None) -> None:
    """Take away what pytest hears of a test's records with: only the process's own log is left."""
    root = logging.getLogger()
    (ours,) = [it for it in root.handlers if isinstance(it.formatter, log.JsonLines)]
    root.handlers[:] = [ours]
    if stream is not None:
        assert isinstance(ours, logging.StreamHandler)
        ours.stream = stream


def _ids(text: str) -> list[str]:
    return [json.loads(line)["request_id"] for line in text.splitlines()]


async def _a_while() -> None:
    """Let what was written leave, of itself."""
    await asyncio.sleep(2 * HELD)


async def _call(*names: str) -> None:
    for name in names:
        log.write(logging.getLogger("llmbase.x"), "call", {"request_id": name})


@in_virtual_time
async def test_lines_wait_for_others_for_a_twentieth_of_a_second(written: io.StringIO) -> None:
    pipe = _Pipe()
    _alone(pipe)
    await _call("one")
    await asyncio.sleep(0.6 * HELD)
    await _call("two", "three")
    await asyncio.sleep(0.39 * HELD)
    assert pipe.pieces == []
    await asyncio.sleep(0.02 * HELD)
    assert [_ids(piece) for piece in pipe.pieces] == [["one", "two", "three"]]
    await _call("four")
    await asyncio.sleep(0.99 * HELD)
    assert len(pipe.pieces) == 1
    await asyncio.sleep(0.02 * HELD)
    assert _ids(pipe.pieces[1]) == ["four"]


@in_virtual_time
async def test_many_lines_wait_for_no_more_but_for_the_answers_of_their_turn(
    written: io.StringIO,
) -> None:
    pipe = _Pipe()
    _alone(pipe)
    names = list(map(str, range(TOGETHER + 1)))
    await _call(*names)
    seen: list[int] = []
    asyncio.get_running_loop().call_soon(lambda: seen.append(len(pipe.pieces)))
    await asyncio.sleep(0)
    assert seen == [0]
    await asyncio.sleep(0)
    assert [name for piece in pipe.pieces for name in _ids(piece)] == names
    assert now() == 0
    await _call(*names[1:])
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    assert len(_ids("".join(pipe.pieces))) == 2 * TOGETHER + 1
    assert len(timers()) == 1


@in_virtual_time
async def test_no_write_is_more_than_a_pipe_takes_in_one_piece(
    written: io.StringIO,
) -> None:
    pipe = _Pipe()
    _alone(pipe)
    names = [f"{i:03d}" * (1 + i % 40) for i in range(200)] + ["long" * 2000, "short"]
    await _call(*names)
    await _a_while()
    assert [name for piece in pipe.pieces for name in _ids(piece)] == names
    assert len(pipe.pieces) < 20
    assert all(len(piece) <= 4096 for piece in pipe.pieces if "long" not in piece)
    assert all(piece.endswith("}\n") for piece in pipe.pieces)


@in_virtual_time
async def test_a_record_comes_after_the_lines_that_were_written_before_it(
    written: io.StringIO,
) -> None:
    _alone()
    await _call("one")
    logging.getLogger("llmbase.x").error("fault", extra={"request_id": "two"})
    await _call("three")
    await _a_while()
    assert _ids(written.getvalue()) == ["one", "two", "three"]


@in_virtual_time
async def test_a_write_that_fails_takes_no_other_line_along(
    written: io.StringIO,
) -> None:
    pipe = _Pipe(failing=1)
    _alone(pipe)
    await _call(*["x" * 4000] * 3)
    await _a_while()
    await _call("later")
    await _a_while()
    assert len(pipe.pieces) == 3
    assert _ids(pipe.pieces[-1]) == ["later"]


@in_virtual_time
async def test_a_turn_without_end_does_not_hold_lines_without_end(written: io.StringIO) -> None:
    _alone()
    await _call(*map(str, range(3000)))
    assert len(written.getvalue().splitlines()) > 1500


@in_virtual_time
async def test_a_thread_without_a_loop_writes_at_once(written: io.StringIO) -> None:
    _alone()
    fields = {"request_id": "one"}
    thread = threading.Thread(
        target=log.write, args=(logging.getLogger("llmbase.x"), "call", fields)
    )
    thread.start()
    thread.join()
    assert _ids(written.getvalue()) == ["one"]


def test_what_is_held_at_the_process_s_end_is_written() -> None:
    program = (
        "import asyncio, logging\n"
        "from telemetry import log\n"
        "log.to_stderr()\n"
        "async def call():\n"
        "    log.write(logging.getLogger('llmbase.x'), 'call', {'request_id': 'last'})\n"
        "    raise SystemExit\n"
        "asyncio.new_event_loop().run_until_complete(call())\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", program], check=False, capture_output=True, text=True
    )
    assert _ids(done.stderr) == ["last"]


@in_virtual_time
async def test_a_line_that_cannot_be_written_takes_no_other_along(written: io.StringIO) -> None:
    _alone()
    logger = logging.getLogger("llmbase.x")
    for fields in ({"request_id": "one"}, {"n": 2**70}, {"s": "\ud800"}, {"request_id": "two"}):
        log.write(logger, "call", fields)
    await _a_while()
    lines = [json.loads(line) for line in written.getvalue().splitlines()]
    assert [line.get("request_id") for line in lines] == ["one", None, None, "two"]
    assert all("fault" in line for line in lines[1:3])


def test_a_loop_that_was_closed_in_time_keeps_no_line_of_the_next(written: io.StringIO) -> None:
    _alone()

    async def leave() -> None:
        await _call("one")

    async def stay() -> None:
        await _call("two")
        await _a_while()

    first = asyncio.new_event_loop()
    first.run_until_complete(leave())  # whose turn is its last
    first.close()
    assert written.getvalue() == ""
    second = VirtualTimeLoop()
    second.run_until_complete(stay())
    second.close()
    assert _ids(written.getvalue()) == ["one", "two"]


def test_threads_that_write_at_once_lose_no_line(written: io.StringIO) -> None:
    _alone()

    def run(name: str) -> None:
        for i in range(2000):
            log.write(logging.getLogger("llmbase.x"), "call", {"request_id": f"{name}{i}"})

    threads = [threading.Thread(target=run, args=(name,)) for name in "abcd"]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(set(_ids(written.getvalue()))) == 8000
