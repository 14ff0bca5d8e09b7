"""What callers are told of their limits, and limits that a process counts for itself."""

from __future__ import annotations

import asyncio

import pytest

from service.accounts.caller import Caller, Limits, allowing
from service.accounts.limits import duration, headers
from service.accounts.local_limits import LocalLimiter
from service.errors import RateLimitExceeded, TooManyConcurrentRequests
from telemetry.metrics import LIMITER_REFUSALS, Metrics
from tests.support.metrics_page import counted

SECOND = 1_000_000


def caller(key="k", account="a", **limits):
    return Caller(key, key, allowing(("*",)), account, limits=Limits(**limits))


class _Clock:
    def __init__(self):
        self.now = 1_800_000_000 * SECOND

    def __call__(self):
        return self.now


@pytest.fixture
def clock():
    return _Clock()


@pytest.fixture
def metrics():
    return Metrics({"limit": {"account_active", "active", "requests", "tokens"}})


@pytest.fixture
def limiter(clock, metrics):
    return LocalLimiter(clock, metrics)


def enter(limiter, who, tokens=0):
    return asyncio.run(limiter.enter(who, tokens))


@pytest.mark.parametrize(
    ("microseconds", "text"),
    [
        (0, "0ms"),
        (1, "1ms"),
        (120_000, "120ms"),
        (999_001, "1s"),
        (1_000_000, "1s"),
        (8_640_000, "8.64s"),
        (60_000_000, "1m0s"),
        (360_000_000, "6m0s"),
        (61_500_000, "1m1.5s"),
        (3_600_000_000, "60m0s"),
    ],
)
def test_times_are_written_as_openai_writes_them(microseconds, text):
    assert duration(microseconds) == text


def test_headers_are_told_only_of_limits_that_are_set():
    assert headers(Limits(account_active=1, active=1), 0, 0) == ()
    names = [name for name, _ in headers(Limits(tokens_per_minute=5), 0, 0)]
    assert names == [
        "x-ratelimit-limit-tokens",
        "x-ratelimit-remaining-tokens",
        "x-ratelimit-reset-tokens",
    ]


def test_an_account_has_no_more_calls_open_than_it_may_over_all_its_keys(limiter, metrics):
    one, two = (caller(key, account_active=2) for key in "kl")
    first = enter(limiter, one)
    enter(limiter, two)
    with pytest.raises(TooManyConcurrentRequests) as refused:
        enter(limiter, two)
    error = refused.value
    assert error.message == (
        "Too many active inference requests. Retry after current requests finish."
    )
    assert error.quotas[0].subject == "account:a"
    assert error.retry_after == 1
    first.leave(None)
    enter(limiter, two)
    refusals = counted(metrics.render(), LIMITER_REFUSALS.name)
    assert refusals == {("account_active",): 1}


def test_a_key_has_a_bound_of_its_own(limiter):
    enter(limiter, caller(active=1, account_active=9))
    with pytest.raises(TooManyConcurrentRequests) as refused:
        enter(limiter, caller(active=1, account_active=9))
    assert refused.value.quotas[0].subject == "key:k"
    enter(limiter, caller("l", active=1, account_active=9))


def test_a_call_that_leaves_twice_has_left_once(limiter):
    who = caller(active=2, tokens_per_minute=100)
    first = enter(limiter, who, 50)
    enter(limiter, who, 50)
    first.leave(10)
    first.leave(10)
    enter(limiter, who, 40)
    with pytest.raises(TooManyConcurrentRequests):
        enter(limiter, who)


@pytest.mark.parametrize("limit", [1, 7, 60, 61, 1000])
def test_a_full_minute_of_requests_gets_in_at_once_and_then_one_at_a_time(limiter, clock, limit):
    who = caller(requests_per_minute=limit)
    for _ in range(limit):
        enter(limiter, who)
    for _ in range(3):
        with pytest.raises(RateLimitExceeded) as refused:
            enter(limiter, who)
        told = dict(refused.value.headers)
        assert told["x-ratelimit-limit-requests"] == str(limit)
        assert told["x-ratelimit-remaining-requests"] == "0"
        assert refused.value.quotas[0].subject == "key:k"
        clock.now += round(refused.value.retry_after * SECOND) - 1
        with pytest.raises(RateLimitExceeded):
            enter(limiter, who)
        clock.now += 1
        enter(limiter, who)


def test_what_is_left_is_told_with_each_answer(limiter, clock):
    who = caller(requests_per_minute=60, tokens_per_minute=600)
    told = dict(enter(limiter, who, 100).headers)
    assert told == {
        "x-ratelimit-limit-requests": "60",
        "x-ratelimit-remaining-requests": "59",
        "x-ratelimit-reset-requests": "1s",
        "x-ratelimit-limit-tokens": "600",
        "x-ratelimit-remaining-tokens": "500",
        "x-ratelimit-reset-tokens": "10s",
    }
    clock.now += SECOND // 2
    told = dict(enter(limiter, who).headers)
    assert told["x-ratelimit-reset-requests"] == "1.5s"
    assert told["x-ratelimit-remaining-requests"] == "58"


def test_a_refused_call_takes_nothing_of_any_limit(limiter):
    who = caller(account_active=5, requests_per_minute=5, tokens_per_minute=100)
    enter(limiter, who, 60)
    for _ in range(9):
        with pytest.raises(RateLimitExceeded, match="100 tokens per minute"):
            enter(limiter, who, 60)
    for _ in range(4):
        enter(limiter, who, 10)


def test_who_must_wait_for_two_rates_is_told_the_longer_time(limiter):
    who = caller(requests_per_minute=60, tokens_per_minute=60)
    for _ in range(60):
        enter(limiter, who, 1)
    with pytest.raises(RateLimitExceeded) as refused:
        enter(limiter, who, 30)
    assert refused.value.retry_after == 30


def test_tokens_that_were_not_used_are_given_back(limiter):
    who = caller(tokens_per_minute=100)
    enter(limiter, who, 100).leave(20)
    assert dict(enter(limiter, who, 80).headers)["x-ratelimit-remaining-tokens"] == "0"


def test_what_is_given_back_late_counts_as_if_it_had_not_been_taken(limiter, clock):
    who = caller(tokens_per_minute=600)
    first, _ = enter(limiter, who, 300), enter(limiter, who, 200)
    clock.now += 10 * SECOND  # in which 100 drain
    first.leave(50)
    assert dict(enter(limiter, who).headers)["x-ratelimit-remaining-tokens"] == "450"
    clock.now += 60 * SECOND
    enter(limiter, who, 100).leave(0)
    assert dict(enter(limiter, who).headers)["x-ratelimit-remaining-tokens"] == "600"


def test_tokens_that_were_used_beyond_the_estimate_are_owed(limiter, clock):
    who = caller(tokens_per_minute=60)
    enter(limiter, who, 10).leave(90)
    with pytest.raises(RateLimitExceeded) as refused:
        enter(limiter, who, 1)
    assert refused.value.retry_after == 31
    clock.now += 31 * SECOND
    enter(limiter, who, 1)


def test_an_estimate_stands_where_nothing_is_known_of_the_use(limiter):
    who = caller(tokens_per_minute=100)
    enter(limiter, who, 60).leave(None)
    with pytest.raises(RateLimitExceeded):
        enter(limiter, who, 41)


def test_an_estimate_over_the_whole_limit_gets_in_when_nothing_is_taken(limiter):
    who = caller(tokens_per_minute=100)
    enter(limiter, who, 10**9).leave(1)
    with pytest.raises(RateLimitExceeded):
        enter(limiter, who, 10**9)


def test_a_clock_that_goes_back_neither_gives_nor_takes(limiter, clock):
    who = caller(requests_per_minute=60)
    enter(limiter, who)
    clock.now -= 3600 * SECOND
    assert dict(enter(limiter, who).headers)["x-ratelimit-remaining-requests"] == "58"


def test_keys_of_which_nothing_is_taken_are_forgotten(limiter, clock):
    for i in range(3000):
        enter(limiter, caller(str(i), str(i), account_active=1, requests_per_minute=60)).leave(0)
        clock.now += SECOND // 10
    assert len(limiter._keys) < 1100
    assert not any(key.open for key in limiter._keys.values())
    assert not limiter.accounts


def test_calls_that_somebody_else_let_in_are_counted_too(limiter):
    who = caller(active=1)
    lease = limiter.note(who, 5)
    limiter.note(who, 5)
    with pytest.raises(TooManyConcurrentRequests):
        enter(limiter, who)
    lease.leave(None)
    with pytest.raises(TooManyConcurrentRequests):
        enter(limiter, who)
