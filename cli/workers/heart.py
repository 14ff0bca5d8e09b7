"""A worker's sign of life: a line to its parent each second, while its event loop goes round."""

from __future__ import annotations

import asyncio
import contextlib
import os

PERIOD = 1.0  # seconds
_OUTPUT = 1
_BEAT = b"alive\n"


def beat(loop: asyncio.AbstractEventLoop) -> None:
    """Begin, at once, in a loop that is about to run. Standard output goes to the parent."""
    os.set_blocking(_OUTPUT, False)  # whatever becomes of the parent, the worker does not wait
    _beat(loop)


def _beat(loop: asyncio.AbstractEventLoop) -> None:
    with contextlib.suppress(OSError):
        os.write(_OUTPUT, _BEAT)
    loop.call_later(PERIOD, _beat, loop)
