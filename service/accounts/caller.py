"""Who calls, and what they may do: the holder of an API key, or of a certificate."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from fnmatch import translate
from typing import Literal

from service.money import Nanos

Period = Literal["day", "month", "total"]

MOST_PER_MINUTE = 100_000_000  # a higher rate counts as this one: see `limits`
OPERATOR = "operator"  # the account of static keys that name none: nobody pays


@dataclass(frozen=True, slots=True)
class SpendCap:
    """At most so much in each period, by the calendar in UTC."""

    amount: Nanos
    period: Period


@dataclass(frozen=True, slots=True)
class Limits:
    """None: not bounded. `account_active` is the account's bound, the others are the key's.

    `rates` are requests and tokens per minute as they are counted; 0 for none.
    """

    account_active: int | None = None
    active: int | None = None
    requests_per_minute: int | None = None
    tokens_per_minute: int | None = None
    rates: tuple[int, int] = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        """Make the rates once: they are looked at several times in every call."""
        given = (self.requests_per_minute or 0, self.tokens_per_minute or 0)
        rates = (min(given[0], MOST_PER_MINUTE), min(given[1], MOST_PER_MINUTE))
        object.__setattr__(self, "rates", rates)  # as a frozen dataclass does it


@dataclass(frozen=True, slots=True)
class Caller:
    """`key_id` is unique: that of the store, or `static/NAME`, or `identity/NAME`.

    A `prepaid` account needs money on it before a call begins.
    """

    name: str
    key_id: str
    allowed: re.Pattern[str]
    account_id: str = OPERATOR
    prepaid: bool = False
    admin: bool = False
    limits: Limits = field(default_factory=Limits)
    cap: SpendCap | None = None

    def may_use(self, model_id: str) -> bool:
        """Whether the key's list of models has this one."""
        return self.allowed.match(model_id) is not None


def allowing(models: tuple[str, ...]) -> re.Pattern[str]:
    """Return what matches the ids that a list of globs allows."""
    return re.compile("|".join(map(translate, models)))
