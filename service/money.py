"""Money: integers of nano-dollars, and no float anywhere. Pure."""

from __future__ import annotations

from decimal import ROUND_HALF_EVEN, Decimal
from typing import NewType

Nanos = NewType("Nanos", int)

_NANO = 1_000_000_000


def from_dollars(dollars: str) -> Nanos:
    """Return an amount of US dollars, written as a decimal, in nano-dollars."""
    return Nanos(int((Decimal(dollars) * _NANO).to_integral_value(ROUND_HALF_EVEN)))
