"""The log of every process: one JSON object per line on standard error.

Never a prompt, an answer or a key. The lines that every call writes wait for others, but not long:
made side by side they cost half, and one write does for a dozen of them.
"""

from __future__ import annotations

import asyncio
import logging
import sys
import time
from collections import deque
from collections.abc import Mapping
from datetime import UTC, datetime
from functools import lru_cache
from itertools import islice
from types import TracebackType
from typing import TextIO

import orjson

# What every record has, and has first; the rest of a record is what `extra` brought.
_OWN = frozenset(vars(logging.makeLogRecord({}))) | {"message", "asctime", "taskName"}
_OWN_FIRST = len(vars(logging.makeLogRecord({})))
# Bytes that a pipe takes in one piece (POSIX's least PIPE_BUF is less, Linux's is this): workers
# write to the same one, and none may come into the middle of another's line.
_IN_ONE_PIECE = 4096
_HELD = 0.05  # seconds that a line waits for others, at most
_TOGETHER = 64  # lines that do not wait for more: made at once they keep nobody waiting
_MOST_HELD = 1000  # lines, where a turn of the loop is that long

_Line = tuple[float, str, str, Mapping[str, object]]  # Unix time, logger, message, what it says


class JsonLines(logging.Formatter):
    """Renders time, level, logger, message and `extra`; of an exception its type and place."""

    def format(self, record: logging.LogRecord) -> str:
        """Return one line."""
        line: dict[str, object] = {
            "time": _time(record.created),
            "level": record.levelname.lower(),
            "logger": record.name,
            "message": record.getMessage(),
        }
        for key, value in islice(vars(record).items(), _OWN_FIRST, None):
            if key not in _OWN:
                line[key] = value
        if record.exc_info and record.exc_info[0] is not None:
            # Not its text, which may quote what a caller sent.
            line["fault"] = record.exc_info[0].__name__
            line["at"] = places(record.exc_info[2])
        return _rendered(line)


class _ToStderr(logging.StreamHandler[TextIO]):
    """Writes lines, and nothing else has a hand in it."""

    def __init__(self) -> None:
        super().__init__(sys.stderr)
        self.setFormatter(JsonLines())
        # Of any thread: a deque is added to and taken from in one step.
        self._held: deque[_Line] = deque()
        self._told: asyncio.AbstractEventLoop | None = None  # which is going to write them

    def hold(self, line: _Line) -> None:
        """Write a line soon, with others; at once where no loop runs."""
        held, told = self._held, self._told
        held.append(line)
        lines = len(held)
        if lines > _MOST_HELD:
            self._write_held()
        elif lines == _TOGETHER or told is None or told.is_closed():
            self._have_written(enough=lines == _TOGETHER)

    def emit(self, record: logging.LogRecord) -> None:
        """Write a record's line, after those that came before it."""
        self._write_held()
        super().emit(record)

    def flush(self) -> None:
        """Write what is held; called at the process's end, too."""
        self._write_held()
        super().flush()

    def _have_written(self, *, enough: bool) -> None:
        """Have the running loop write what is held; where none runs it is written at once."""
        try:
            loop = asyncio.get_running_loop()
        except RuntimeError:
            self._write_held()
            return
        if enough:
            # Behind the answers that leave at the turn's end: nobody waits for a line.
            loop.call_soon(loop.call_soon, self._write_held)
        else:
            self._told = loop
            loop.call_later(_HELD, self._write_late)

    def _write_late(self) -> None:
        self._told = None  # what comes from now on needs a timer of its own
        self._write_held()

    def _write_held(self) -> None:
        """Write all that is held, in pieces of whole lines, each fit for one write."""
        held, piece = self._held, b""
        while held:
            try:
                line = _text(*held.popleft())
            except IndexError:  # another thread was faster
                break
            if len(piece) + len(line) > _IN_ONE_PIECE:
                self._put(piece)
                piece = b""
            piece += line
        self._put(piece)

    def _put(self, piece: bytes) -> None:
        if not piece:
            return
        try:
            self.stream.write(piece.decode())
        except (OSError, ValueError):
            return  # nobody may read it any more: a call is not to fail for that


def write(logger: logging.Logger, message: str, fields: Mapping[str, object]) -> None:
    """Log at the level info, as `logger.info(message, extra=fields)` does, for lines of every call.

    Where the log is this module's alone no record is made of it: that costs more than the line,
    which is made later: `fields` is not to be changed any more.
    """
    if not logger.isEnabledFor(logging.INFO):
        return
    handlers = logging.root.handlers
    if logger.handlers or len(handlers) != 1 or not isinstance(to := handlers[0], _ToStderr):
        logger.info(message, extra=dict(fields))
        return
    to.hold((time.time(), logger.name, message, fields))


def places(trace: TracebackType | None) -> list[str]:
    """Return where an exception passed, outermost first, as `file:line function`."""
    found = []
    while trace is not None:
        code = trace.tb_frame.f_code
        found.append(f"{code.co_filename}:{trace.tb_lineno} {code.co_name}")
        trace = trace.tb_next
    return found


def to_stderr(level: str = "info") -> None:
    """Send the log of this process to standard error; `level` is a name of logging's, any case.

    It is our own log's. Of libraries only warnings are told: their details quote what they handle.
    """
    _leave_out_what_no_line_says()
    root = logging.getLogger()
    root.handlers[:] = [_ToStderr()]
    logging.getLogger("llmbase").setLevel(level.upper())
    root.setLevel(max(logging.WARNING, logging.getLogger("llmbase").level))


def _rendered(line: Mapping[str, object]) -> str:
    return orjson.dumps(line, default=str).decode()


def _text(seconds: float, name: str, message: str, fields: Mapping[str, object]) -> bytes:
    head = {"time": _time(seconds), "level": "info", "logger": name, "message": message}
    try:
        return orjson.dumps({**head, **fields}, default=str, option=orjson.OPT_APPEND_NEWLINE)
    except orjson.JSONEncodeError as error:  # a number beyond 64 bits, a text that is none
        return orjson.dumps({**head, "fault": str(error)}, option=orjson.OPT_APPEND_NEWLINE)


def _time(seconds: float) -> str:
    whole = int(seconds)
    return _second(whole) + _fraction(int((seconds - whole) * 1000))


@lru_cache(maxsize=2)
def _second(seconds: int) -> str:
    """Return a Unix time in the words of ISO 8601: many lines are of one second."""
    return datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%dT%H:%M:%S")


@lru_cache(maxsize=1000)
def _fraction(milliseconds: int) -> str:
    """Return what stands behind the second: all of them are soon known."""
    return f".{milliseconds:03d}+00:00"


def _leave_out_what_no_line_says() -> None:
    """Have records made without caller, thread and process: that is most of what they cost."""
    # As the documentation of logging has it, under "Optimization".
    logging._srcfile = None
    logging.logThreads = logging.logProcesses = logging.logMultiprocessing = False
