"""What the options of `llmbase keys` are written as: bounds of spending, and times."""

from __future__ import annotations

import re
import time
from datetime import UTC, datetime
from typing import Any

import click
from llmbase.v1 import account_pb2 as pb

from cli.dollars import Dollars

_PERIODS = {
    "day": pb.SPEND_PERIOD_DAY,
    "month": pb.SPEND_PERIOD_MONTH,
    "total": pb.SPEND_PERIOD_TOTAL,
}
_UNITS = {"s": 1, "m": 60, "h": 3600, "d": 86_400, "w": 7 * 86_400}
_SPAN = re.compile(r"([0-9]{1,9})([smhdw])")


class SpendCap(click.ParamType[pb.SpendCap]):
    """So many US dollars in each period: 25/month."""

    name = "usd/period"

    def convert(
        self, value: Any, param: click.Parameter | None, ctx: click.Context | None
    ) -> pb.SpendCap:
        """Return the bound."""
        amount, _, period = value.partition("/")
        if period not in _PERIODS:
            self.fail("must be USD/day, USD/month or USD/total, such as 25/month", param, ctx)
        nanos = Dollars().convert(amount, param, ctx)
        return pb.SpendCap(amount_nanos=nanos, period=_PERIODS[period])


class Span(click.ParamType[int]):
    """A length of time: 90s, 30m, 12h, 7d or 2w, in seconds."""

    name = "time"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> int:
        """Return seconds."""
        if isinstance(value, int):
            return value
        match = _SPAN.fullmatch(value)
        if match is None:
            self.fail("must be a time such as 90s, 30m, 12h, 7d or 2w", param, ctx)
        return int(match[1]) * _UNITS[match[2]]


class End(click.ParamType[int]):
    """A time to come: a length of time from now, or the beginning of a day (UTC)."""

    name = "time|day"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> int:
        """Return Unix seconds."""
        if isinstance(value, int):
            return value
        try:
            return int(datetime.strptime(value, "%Y-%m-%d").replace(tzinfo=UTC).timestamp())
        except ValueError:
            pass
        if not _SPAN.fullmatch(value):
            self.fail("must be a day, YYYY-MM-DD, or a time such as 12h or 30d", param, ctx)
        return int(time.time()) + Span().convert(value, param, ctx)


def period_name(period: pb.SpendPeriod.ValueType) -> str:
    """Return what a period is written as."""
    return next((name for name, value in _PERIODS.items() if value == period), "?")
