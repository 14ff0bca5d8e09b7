"""Days and the periods of spend caps: by the calendar, in UTC. Pure."""

from __future__ import annotations

import time

from service.accounts.caller import Period


def day(at: int) -> str:
    """Return the day of a time in Unix seconds: 2026-11-26."""
    year, month, of_month, *_ = time.gmtime(at)
    return f"{year:04d}-{month:02d}-{of_month:02d}"


def period_of(period: Period, at: int) -> str:
    """Return which day or month it is, or `total`: the key of what is spent in it."""
    if period == "total":
        return "total"
    return day(at) if period == "day" else day(at)[:7]
