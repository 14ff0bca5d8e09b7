"""Limits that several processes count together, on a real Valkey."""

from __future__ import annotations

import asyncio
import contextlib
import os
import random
import signal
import sys
import uuid

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from redis.asyncio import Redis

from service.accounts.caller import Caller, Limits, allowing
from service.accounts.limiters import limiter, shared_limiter
from service.accounts.local_limits import LocalLimiter
from service.accounts.shared_scripts import SCRIPTS
from service.config import BreakerConfig, SharedConfig
from service.errors import (
    Error,
    RateLimitExceeded,
    ServiceUnavailable,
    TooManyConcurrentRequests,
)
from service.mendable import ConfigError
from telemetry.metrics import LIMITER_AWAY, LIMITER_REFUSALS, LIMITER_SECONDS, Metrics
from tests.support.metrics_page import counted, series

PATIENCE = 20.0  # seconds after which a test that waits in vain has failed
SECOND = 1_000_000
QUICK = BreakerConfig(failures=3, open=0.05, max_open=0.1)


def caller(key="k", account="a", **limits):
    return Caller(key, key, allowing(("*",)), account, limits=Limits(**limits))


class _Clock:
    def __init__(self):
        self.now = 1_800_000_000 * SECOND

    def __call__(self):
        return self.now


@contextlib.asynccontextmanager
async def shared(valkey, *, url=None, when_down="open", timeout=PATIENCE, **options):
    metrics = Metrics({"limit": {"account_active", "active", "requests", "tokens"}})
    config = SharedConfig(url=url or valkey.url, timeout=timeout, when_down=when_down)
    made = shared_limiter(config, metrics, random.Random(1), **options)
    made.metrics = metrics
    await made.start()
    try:
        yield made
    finally:
        await made.close()


@contextlib.asynccontextmanager
async def server(valkey):
    async with Redis.from_url(valkey.url, decode_responses=True) as client:
        yield client


async def until(condition):
    async with asyncio.timeout(PATIENCE):
        while not await condition():  # noqa: ASYNC110 - of another process
            await asyncio.sleep(0.005)


async def admitted(enters):
    """Enter all at once; return the leases of those that got in, and the errors of the others."""
    results = await asyncio.gather(*enters, return_exceptions=True)
    assert not [r for r in results if isinstance(r, BaseException) and not isinstance(r, Error)]
    refused = [r for r in results if isinstance(r, Error)]
    return [r for r in results if not isinstance(r, Error)], refused


async def open_calls(client, key="k", account="a"):
    return await client.zcard(f"llmbase:{{{account}}}:key:{key}:active")


# What is the same, wherever it is counted.

_CALLERS = (
    {"key": "one", "account_active": 3, "requests_per_minute": 7},
    {"key": "two", "account_active": 3, "active": 2, "tokens_per_minute": 1000},
    {"key": "three", "requests_per_minute": 60, "tokens_per_minute": 90_000_000},
)
_STEPS = st.one_of(
    st.tuples(st.just("enter"), st.integers(0, 2), st.integers(0, 2000)),
    st.tuples(st.just("leave"), st.integers(0, 9), st.none() | st.integers(0, 3000)),
    st.tuples(st.just("wait"), st.just(0), st.integers(0, 2 * SECOND) | st.just(60 * SECOND)),
)


async def _told(limiter, who, tokens):
    try:
        lease = await limiter.enter(who, tokens)
    except Error as error:
        return None, (type(error), error.message, error.retry_after, error.quotas, error.headers)
    return lease, lease.headers


@settings(
    max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(steps=st.lists(_STEPS, max_size=40))
def test_a_process_alone_and_a_server_give_the_same_answers(valkey, steps):
    async def main():
        clock, account = _Clock(), uuid.uuid4().hex
        callers = [caller(account=account, **limits) for limits in _CALLERS]
        local = LocalLimiter(clock, Metrics({}))
        async with shared(valkey, now=clock, lease=3600.0) as limiter:
            leases = []
            for step, which, amount in steps:
                if step == "wait":
                    clock.now += amount
                elif step == "enter":
                    here, told_here = await _told(local, callers[which], amount)
                    there, told_there = await _told(limiter, callers[which], amount)
                    assert told_there == told_here
                    if here is not None:
                        leases.append((here, there))
                elif which < len(leases):
                    for lease in leases[which]:
                        lease.leave(amount)
                    await limiter.told()

    asyncio.run(main())


# What must hold of many callers.


async def test_two_hundred_callers_of_four_processes_share_an_accounts_places_exactly(valkey):
    async with contextlib.AsyncExitStack() as stack:
        limiters = [await stack.enter_async_context(shared(valkey)) for _ in range(4)]
        callers = [caller(f"k{i}", account_active=20) for i in range(5)]
        for used in (0, 5, 20):
            held = [await limiters[0].enter(callers[0], 0) for _ in range(used)]
            got, refused = await admitted(
                limiters[i % 4].enter(callers[i % 5], 10) for i in range(200)
            )
            assert len(got) == 20 - used
            assert {type(error) for error in refused} <= {TooManyConcurrentRequests}
            for lease in (*got, *held):
                lease.leave(0)
            for limiter in limiters:
                await limiter.told()
        refusals = [counted(it.metrics.render(), LIMITER_REFUSALS.name) for it in limiters]
        assert sum(it[("account_active",)] for it in refusals) == 3 * 200 - 20 - 15


async def test_callers_that_come_and_go_are_never_more_than_there_are_places(valkey):
    inside, most = 0, 0

    async def visits(limiter, chance):
        nonlocal inside, most
        let_in = 0
        for _ in range(10):
            with contextlib.suppress(TooManyConcurrentRequests):
                lease = await limiter.enter(caller(active=7), 0)
                inside, let_in = inside + 1, let_in + 1
                most = max(most, inside)
                await asyncio.sleep(0.0001 * chance.random())
                inside -= 1
                lease.leave(None)
        return let_in

    async with contextlib.AsyncExitStack() as stack:
        limiters = [await stack.enter_async_context(shared(valkey)) for _ in range(4)]
        let_in = await asyncio.gather(
            *(visits(limiters[i % 4], random.Random(i)) for i in range(200))
        )
        assert most <= 7
        assert sum(let_in) > 7
        for limiter in limiters:
            await limiter.told()
        async with server(valkey) as client:
            assert await open_calls(client) == 0


async def test_two_hundred_callers_of_four_processes_share_a_rate_exactly(valkey):
    clock = _Clock()
    async with contextlib.AsyncExitStack() as stack:
        limiters = [await stack.enter_async_context(shared(valkey, now=clock)) for _ in range(4)]
        who = caller(requests_per_minute=50)
        for seconds, there_are in ((0, 50), (6, 5), (0, 0), (1, 0), (1, 1), (600, 50)):
            clock.now += seconds * SECOND
            got, refused = await admitted(limiters[i % 4].enter(who, 0) for i in range(200))
            assert len(got) == there_are
            assert {type(error) for error in refused} <= {RateLimitExceeded}


async def test_a_call_costs_one_round_trip_and_its_end_is_told_later(valkey):
    async with shared(valkey) as limiter, server(valkey) as client:
        who = caller(
            account_active=90, active=90, requests_per_minute=600, tokens_per_minute=90_000
        )
        (await limiter.enter(who, 10)).leave(5)
        await limiter.told()
        await client.config_resetstat()
        for _ in range(10):
            await limiter.enter(who, 10)
        assert (await client.info("commandstats"))["cmdstat_evalsha"]["calls"] == 10
        leases = await asyncio.gather(*(limiter.enter(who, 10) for _ in range(30)))
        for lease in leases:
            lease.leave(5)
        assert (await client.info("commandstats"))["cmdstat_evalsha"]["calls"] == 40
        await limiter.told()
        assert (await client.info("commandstats"))["cmdstat_evalsha"]["calls"] == 70


async def test_who_has_no_limits_asks_nobody(valkey):
    async with shared(valkey) as limiter, server(valkey) as client:
        lease = await limiter.enter(caller(), 10**9)
        assert lease.headers == ()
        lease.leave(5)
        assert await client.keys("*") == []


# Callers that are gone.


async def test_a_caller_that_is_cancelled_while_it_asks_leaves_nothing_behind(valkey):
    who = caller(account_active=9, tokens_per_minute=1000)
    async with shared(valkey) as limiter, server(valkey) as client:
        await limiter.enter(who, 1)
        os.kill(valkey.pid, signal.SIGSTOP)
        try:
            asking = [asyncio.create_task(limiter.enter(who, 100)) for _ in range(5)]
            for _ in range(20):
                await asyncio.sleep(0)
            for task in asking:
                task.cancel()
            results = await asyncio.gather(*asking, return_exceptions=True)
            assert {type(result) for result in results} == {asyncio.CancelledError}
        finally:
            os.kill(valkey.pid, signal.SIGCONT)
        lease = await limiter.enter(who, 1)
        await limiter.told()
        assert await open_calls(client) == 2
        lease.leave(None)
        debt = int(await client.hget("llmbase:{a}:key:k:rates", "tokens"))
        assert debt <= 2 * 60 * SECOND


async def test_callers_that_are_cancelled_at_any_moment_leave_nothing_behind(valkey):
    who = caller(account_active=1000)

    async def one(limiter, turns):
        task = asyncio.create_task(limiter.enter(who, 0))
        for _ in range(turns):
            await asyncio.sleep(0)
        if not task.cancel():
            task.result().leave(None)
            return
        with contextlib.suppress(asyncio.CancelledError):
            (await task).leave(None)

    async with shared(valkey) as limiter, server(valkey) as client:
        for turns in range(40):
            await asyncio.gather(*(one(limiter, turns + i) for i in range(5)))

        async def empty():
            await limiter.told()
            return await open_calls(client) == 0

        await until(empty)


_DYING = """
import asyncio, random, sys
from service.accounts.limiters import shared_limiter
from service.config import SharedConfig
from telemetry.metrics import Metrics
from tests.e2e.test_shared_limits import caller

async def main():
    config = SharedConfig(url=sys.argv[1], timeout=20)
    limiter = shared_limiter(config, Metrics({}), random.Random(1), lease=2.0)
    await limiter.start()
    for _ in range(3):
        await limiter.enter(caller(account_active=3), 0)
    print("entered", flush=True)
    await asyncio.sleep(3600)

asyncio.run(main())
"""


async def test_the_calls_of_a_process_that_dies_are_forgotten_after_a_while(valkey):
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-c", _DYING, valkey.url, stdout=asyncio.subprocess.PIPE
    )
    try:
        assert process.stdout is not None
        assert await process.stdout.readline() == b"entered\n"
        async with shared(valkey) as limiter, server(valkey) as client:
            assert await open_calls(client) == 3
            process.kill()
            await process.wait()

            living = []

            async def free():
                got, _ = await admitted([limiter.enter(caller(account_active=3), 0)])
                living.extend(got)
                return len(living) == 3

            await until(free)  # each place comes free for itself
            assert await client.zcard("llmbase:{a}:active") == 3
    finally:
        with contextlib.suppress(ProcessLookupError):
            process.kill()


async def test_open_calls_are_renewed_and_those_of_the_dead_are_not(valkey):
    clock = _Clock()
    lease = 0.03
    who = caller(account_active=2, active=2)
    async with (
        server(valkey) as client,
        shared(valkey, now=clock, lease=lease) as living,
        shared(valkey, now=clock, lease=lease) as other,
    ):
        async with shared(valkey, now=clock, lease=lease) as dying:
            await dying.enter(who, 0)
            for task in dying._tasks:
                task.cancel()  # no last words
            await asyncio.wait(dying._tasks)
        await living.enter(who, 0)
        began = clock.now
        with pytest.raises(TooManyConcurrentRequests):
            await other.enter(who, 0)

        async def renewed():
            scores = await client.zrange("llmbase:{a}:active", 0, -1, withscores=True)
            return any(score > began + lease * SECOND for _, score in scores)

        clock.now += round(lease * SECOND) // 2
        await until(renewed)
        clock.now = began + round(lease * SECOND) + 1
        await until(renewed)
        await other.enter(who, 0)
        with pytest.raises(TooManyConcurrentRequests):
            await other.enter(who, 0)


async def test_a_call_that_leaves_while_it_is_renewed_is_not_kept(valkey):
    async with shared(valkey, lease=3600.0) as limiter, server(valkey) as client:
        leases = [await limiter.enter(caller(account_active=9), 0) for _ in range(3)]
        for lease in leases:
            renewal = asyncio.create_task(limiter.renew())
            await asyncio.sleep(0)
            lease.leave(None)  # it is told before the renewal goes out, which has it, too
            await renewal
            await limiter.told()
        assert await open_calls(client) == 0
        assert await client.zcard("llmbase:{a}:active") == 0


async def test_a_probe_that_is_cancelled_before_it_has_asked_is_followed_by_another(valkey):
    async with shared(valkey, lease=3600.0, clock=lambda: now) as limiter:
        now = 0.0
        for _ in range(5):
            limiter._silent(OSError())
        now = 100.0
        probe = asyncio.create_task(limiter.enter(caller(active=9), 0))
        await asyncio.sleep(0)
        probe.cancel()
        await asyncio.wait([probe])
        await limiter.enter(caller(active=9), 0)
        assert _away(limiter) == 0


# A server that is away.


def _away(limiter):
    return series(limiter.metrics.render())[(LIMITER_AWAY.name, ())]


def _asked(limiter):
    return series(limiter.metrics.render())[(f"{LIMITER_SECONDS.name}_count", ())]


async def _until_back(limiter, who):
    async def back():
        with contextlib.suppress(Error):
            (await limiter.enter(who, 0)).leave(0)
        return _away(limiter) == 0

    await until(back)


@contextlib.contextmanager
def hung(valkey):
    os.kill(valkey.pid, signal.SIGSTOP)
    try:
        yield
    finally:
        os.kill(valkey.pid, signal.SIGCONT)


async def test_without_a_server_that_answers_a_process_counts_alone_from_where_it_is(valkey):
    who = caller(active=10, requests_per_minute=600)
    async with shared(valkey, timeout=0.05, lease=3600.0, breaker=QUICK) as limiter:
        leases = [await limiter.enter(who, 0) for _ in range(4)]
        with hung(valkey):
            leases += [await limiter.enter(who, 0) for _ in range(6)]
            assert dict(leases[-1].headers)["x-ratelimit-limit-requests"] == "600"
            with pytest.raises(TooManyConcurrentRequests):
                await limiter.enter(who, 0)
            assert _away(limiter) == 1
        await _until_back(limiter, who)
        async with server(valkey) as client:

            async def all_there():
                return await open_calls(client) == 10

            await until(all_there)  # those that got in alone, and no ghost of a call that timed out
            for lease in leases:
                lease.leave(None)
            await limiter.told()

            async def nobody_there():
                return await open_calls(client) == 0

            await until(nobody_there)


async def test_a_server_that_hangs_is_left_alone_and_then_asked_by_one(valkey):
    breaker = BreakerConfig(failures=3, open=100.0, max_open=100.0)
    now = 0.0
    async with shared(
        valkey, timeout=0.05, breaker=breaker, lease=3600.0, clock=lambda: now
    ) as limiter:
        who = caller(active=10_000)
        with hung(valkey):
            while _away(limiter) == 0:
                await limiter.enter(who, 0)
            asked = _asked(limiter)
            for _ in range(50):
                await limiter.enter(who, 0)
            assert _asked(limiter) == asked
            now += 200
            await asyncio.gather(*(limiter.enter(who, 0) for _ in range(50)))
            assert _asked(limiter) == asked + 1
            assert _away(limiter) == 1
        now += 200

        async def back():
            nonlocal now
            now += 200
            await limiter.enter(who, 0)
            return _away(limiter) == 0

        await until(back)


async def test_nobody_gets_in_without_a_server_where_that_is_asked_for(valkey):
    who = caller(active=10)
    async with shared(valkey, when_down="closed", timeout=0.05, breaker=QUICK) as limiter:
        valkey.stop()
        try:
            for _ in range(8):
                with pytest.raises(ServiceUnavailable) as refused:
                    await limiter.enter(who, 0)
                assert refused.value.retry_after == 1
            (await limiter.enter(caller(), 0)).leave(None)  # nothing is to be counted
        finally:
            valkey.start()
        await _until_back(limiter, who)


async def test_a_server_that_was_started_again_learns_of_all_open_calls(valkey):
    who = caller(account_active=3)
    async with shared(valkey, lease=3600.0, breaker=QUICK) as limiter, server(valkey) as client:
        for _ in range(3):
            await limiter.enter(who, 0)
        valkey.stop()
        valkey.start()
        with contextlib.suppress(Error):
            await limiter.enter(who, 0)  # notices
        await _until_back(limiter, who)

        async def all_there():
            with contextlib.suppress(OSError):
                return await client.zcard("llmbase:{a}:active") == 3

        await until(all_there)
        await until(lambda: asyncio.sleep(0, _away(limiter) == 0))
        with pytest.raises(TooManyConcurrentRequests):
            await limiter.enter(who, 0)


async def test_scripts_that_the_server_has_forgotten_are_told_again(valkey):
    who = caller(active=100)
    async with shared(valkey, breaker=QUICK) as limiter, server(valkey) as client:
        await limiter.enter(who, 0)
        await client.script_flush()
        await limiter.enter(who, 0)  # alone
        await limiter.enter(who, 0)
        assert all(await client.script_exists(*(script.sha for script in SCRIPTS)))
        assert await open_calls(client) >= 2


async def test_a_server_that_may_not_be_used_counts_as_away(valkey):
    url = valkey.url.replace("redis://", "redis://nobody:wrong@")
    async with shared(valkey, url=url, when_down="closed", breaker=QUICK) as limiter:
        with pytest.raises(ServiceUnavailable):
            await limiter.enter(caller(active=1), 0)


async def test_a_unix_socket_will_do(valkey):
    async with shared(valkey, url=f"unix://{valkey.socket}") as limiter:
        await limiter.enter(caller(active=1), 0)
        with pytest.raises(TooManyConcurrentRequests):
            await limiter.enter(caller(active=1), 0)


async def test_what_is_closed_keeps_nobody_waiting(valkey):
    async with shared(valkey) as limiter:
        await limiter.enter(caller(active=1), 0)
    lease = await limiter.enter(caller("other", active=1), 0)
    lease.leave(None)


def test_a_missing_package_is_said_in_a_line(monkeypatch):
    monkeypatch.setitem(sys.modules, "redis.asyncio", None)
    with pytest.raises(ConfigError, match=r"^shared.url: needs pip install 'llmbase\[shared\]'$"):
        limiter(SharedConfig(url="redis://127.0.0.1"), Metrics({}), random.Random())


@pytest.mark.parametrize(
    "url", ["redis://:secret@host:port", "redis://:secret@[host/0", "redis://:secret@host?what=1"]
)
def test_a_url_that_cannot_be_read_is_said_at_the_start_without_its_password(url):
    with pytest.raises(ConfigError, match=r"^shared.url: cannot be read as a URL of Redis$"):
        limiter(SharedConfig(url=url), Metrics({}), random.Random())
