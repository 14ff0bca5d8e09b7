"""The log of every process: one JSON object per line on standard error.

Never a prompt, an answer or a key.
"""

from __future__ import annotations

import logging
import sys
from datetime import UTC, datetime
from itertools import islice
from types import TracebackType

import orjson

# What every record has, and has first; the rest of a record is what `extra` brought.
_OWN = frozenset(vars(logging.makeLogRecord({}))) | {"message", "asctime", "taskName"}
_OWN_FIRST = len(vars(logging.makeLogRecord({})))


class JsonLines(logging.Formatter):
    """Renders time, level, logger, message and `extra`; of an exception its type and place."""

    def format(self, record: logging.LogRecord) -> str:
        """Return one line."""
        time = datetime.fromtimestamp(record.created, UTC)
        line: dict[str, object] = {
            "time": time.isoformat(timespec="milliseconds"),
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
        return orjson.dumps(line, default=str).decode()


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
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(JsonLines())
    root = logging.getLogger()
    root.handlers[:] = [handler]
    logging.getLogger("llmbase").setLevel(level.upper())
    root.setLevel(max(logging.WARNING, logging.getLogger("llmbase").level))


def _leave_out_what_no_line_says() -> None:
    """Have records made without caller, thread and process: that is most of what they cost."""
    # As the documentation of logging has it, under "Optimization".
    logging._srcfile = None
    logging.logThreads = logging.logProcesses = logging.logMultiprocessing = False
