"""How much a caller may do at a time and per minute, and what it is told of it. Pure.

A rate is a bucket: what was taken in the last minute and has not drained yet is its *debt*. One
request or token adds `MINUTE` parts to it, and every microsecond takes as many parts away as the
limit allows per minute. So all of it is whole numbers, and a limit that changes changes nothing
that is kept. Debts stay below 2^53, with no rate above `MOST_PER_MINUTE`: a Redis server counts
in doubles.
"""

from __future__ import annotations

import enum
from typing import NamedTuple, Protocol

from service.accounts.caller import MOST_PER_MINUTE, Caller, Limits
from service.errors import (
    Error,
    QuotaViolation,
    RateLimitExceeded,
    ServiceUnavailable,
    TooManyConcurrentRequests,
)

MINUTE = 60_000_000  # microseconds, and parts of a debt that one request or token is
MOST_DEBT = 2**53 - 1
_ACTIVE_RETRY_AFTER = 1.0  # seconds: nobody knows when a call ends
_DOWN_RETRY_AFTER = 1.0

# REST's names of a limit, what is left of it, and when all of it is.
_REQUESTS_LEFT = (
    "x-ratelimit-limit-requests",
    "x-ratelimit-remaining-requests",
    "x-ratelimit-reset-requests",
)
_TOKENS_LEFT = (
    "x-ratelimit-limit-tokens",
    "x-ratelimit-remaining-tokens",
    "x-ratelimit-reset-tokens",
)

Headers = tuple[tuple[str, str], ...]


class Limit(enum.Enum):
    """What can be met, in the order in which it is looked at."""

    ACCOUNT_ACTIVE = "account_active"
    ACTIVE = "active"
    REQUESTS = "requests"
    TOKENS = "tokens"


LIMITS = tuple(Limit)


class Lease(Protocol):
    """A call that was let in. `headers` say what is left, by REST's names."""

    @property
    def headers(self) -> Headers: ...  # noqa: D102

    def leave(self, tokens_used: int | None) -> None:
        """The call has ended; only the first time counts. None: the estimate stands.

        Never blocks, never raises.
        """


class Limiter(Protocol):
    """Lets calls in, or not."""

    def enter_at_once(self, caller: Caller, tokens: int) -> Lease | None:
        """Do as `enter` does where nobody has to be asked; None, and nothing taken, elsewhere."""

    async def enter(self, caller: Caller, tokens: int) -> Lease:
        """Take a place, a request and `tokens` (an estimate) from all the caller's limits, or none.

        An estimate over the whole limit takes all of it: such a call gets in when nothing is taken.
        Raises TooManyConcurrentRequests, RateLimitExceeded, and ServiceUnavailable where limits
        cannot be counted. Who is cancelled in here has taken nothing.
        """

    async def start(self) -> None:
        """To be called once, inside the loop."""

    async def close(self) -> None:
        """Tell what is yet to be told, within bounds."""


class Standing(NamedTuple):
    """What is taken of the rates, in parts, after a call was let in or, unchanged, refused."""

    met: Limit | None
    requests: int
    tokens: int


def cost(tokens: int, rate: int) -> int:
    """Return what an estimate takes of a rate, in parts."""
    if not 0 <= tokens <= rate:
        tokens = 0 if tokens < 0 else rate
    return tokens * MINUTE


def excess(limits: Limits, taken: int, tokens_used: int | None) -> int:
    """Return the parts that a call used more than it took of its tokens; negative: less."""
    if limits.tokens_per_minute is None or tokens_used is None:
        return 0
    if not 0 <= tokens_used <= MOST_PER_MINUTE:
        tokens_used = 0 if tokens_used < 0 else MOST_PER_MINUTE
    return tokens_used * MINUTE - taken


def empty_in(limits: Limits, requests: int, tokens: int) -> int:
    """Return the microseconds until nothing is taken of the rates."""
    a_minute, tokens_a_minute = limits.rates
    until = _drained(requests, a_minute) if a_minute else 0
    return max(until, _drained(tokens, tokens_a_minute)) if tokens_a_minute else until


def bounded(limits: Limits) -> bool:
    """Whether there is anything to count."""
    return any((limits.account_active, limits.active, *limits.rates))


def headers(limits: Limits, requests: int, tokens: int) -> Headers:
    """Return what is left of the rates that are set, as OpenAI says it; given what is taken."""
    most_requests, most_tokens = limits.rates
    told = _left(_REQUESTS_LEFT, most_requests, requests) if most_requests else ()
    return told + _left(_TOKENS_LEFT, most_tokens, tokens) if most_tokens else told


def refusal(caller: Caller, standing: Standing, tokens: int) -> Error:
    """Return the error of a call that met a limit."""
    limits, met = caller.limits, standing.met
    told = headers(limits, standing.requests, standing.tokens)
    if met is Limit.ACCOUNT_ACTIVE or met is Limit.ACTIVE:
        if met is Limit.ACCOUNT_ACTIVE:
            subject, most = f"account:{caller.account_id}", limits.account_active
        else:
            subject, most = f"key:{caller.key_id}", limits.active
        return TooManyConcurrentRequests(
            "Too many active inference requests. Retry after current requests finish.",
            retry_after=_ACTIVE_RETRY_AFTER,
            quotas=(QuotaViolation(subject, f"{most} active requests"),),
            headers=told,
        )
    requests, per_token = limits.rates
    most = requests if met is Limit.REQUESTS else per_token
    unit = "requests" if met is Limit.REQUESTS else "tokens"
    # Both are waited for: who is told of the one that is met only, comes back in vain.
    wait = max(
        _until_it_fits(standing.requests, MINUTE, requests),
        _until_it_fits(standing.tokens, cost(tokens, per_token), per_token),
    )
    return RateLimitExceeded(
        f"Rate limit reached: {most} {unit} per minute. Retry in {duration(wait)}.",
        retry_after=wait / 1e6,
        quotas=(QuotaViolation(f"key:{caller.key_id}", f"{most} {unit} per minute"),),
        headers=told,
    )


def not_counted() -> ServiceUnavailable:
    """Return the error of a call that is refused because limits cannot be counted."""
    return ServiceUnavailable(
        "The server cannot count limits now. Retry the request.", retry_after=_DOWN_RETRY_AFTER
    )


def duration(microseconds: int) -> str:
    """Return a time as OpenAI writes it, rounded up to milliseconds: `120ms`, `1s`, `6m0s`."""
    return _written(-(-max(0, microseconds) // 1000))


def _written(milliseconds: int) -> str:
    if milliseconds < 1000:
        return f"{milliseconds}ms"
    minutes, rest = divmod(milliseconds, 60_000)
    whole, parts = divmod(rest, 1000)
    seconds = f"{whole}.{parts:03d}".rstrip("0").rstrip(".") if parts else str(whole)
    return f"{minutes}m{seconds}s" if minutes else f"{seconds}s"


def _left(names: tuple[str, str, str], limit: int, debt: int) -> Headers:
    most, remaining, reset = names
    left, milliseconds = limit * MINUTE - debt, -(-debt // (limit * 1000))
    return (
        (most, f"{limit}"),
        (remaining, f"{left // MINUTE}" if left > 0 else "0"),
        (reset, f"{milliseconds}ms" if milliseconds < 1000 else _written(milliseconds)),
    )


def _drained(debt: int, limit: int) -> int:
    """Return the microseconds until nothing is taken of a limit."""
    return -(-debt // limit)


def _until_it_fits(debt: int, more: int, limit: int) -> int:
    """Return the microseconds until so many parts more can be taken."""
    return _drained(max(0, debt + more - limit * MINUTE), limit) if limit else 0
