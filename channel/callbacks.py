"""Done callbacks: each is called once, and what one raises is the loop's to report."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any


def call_back(
    callbacks: list[Callable[[Any], object]], subject: object, loop: asyncio.AbstractEventLoop
) -> None:
    """Empties the list, calling each callback with `subject`, in order."""
    while callbacks:
        callback = callbacks.pop(0)
        try:
            callback(subject)
        except Exception as error:
            loop.call_exception_handler(
                {"message": "A done callback of an in-process call failed", "exception": error}
            )
