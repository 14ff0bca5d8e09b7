"""Money on the command line: US dollars as decimals, nano-dollars inside; no float between."""

from __future__ import annotations

import re
from typing import Any

import click

_NANO = 1_000_000_000
_FORM = re.compile(r"(-?)\$?([0-9]{1,9})(?:\.([0-9]{1,9}))?")


class Dollars(click.ParamType[int]):
    """US dollars such as 25 or 0.50, as an integer of nano-dollars."""

    name = "usd"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> int:
        """Return nano-dollars, to the last decimal that was given."""
        if isinstance(value, int):
            return value
        match = _FORM.fullmatch(value)
        if match is None:
            self.fail("must be US dollars with at most 9 decimals, such as 25 or 0.50", param, ctx)
        sign, dollars, decimals = match.groups(default="")
        nanos = int(dollars) * _NANO + int(decimals.ljust(9, "0"))
        return -nanos if sign else nanos


def dollars(nanos: int) -> str:
    """Return an amount exactly, with two decimals or as many as it needs."""
    whole, rest = divmod(abs(nanos), _NANO)
    decimals = f"{rest:09d}".rstrip("0").ljust(2, "0")
    return f"{'-' if nanos < 0 else ''}{whole}.{decimals}"
