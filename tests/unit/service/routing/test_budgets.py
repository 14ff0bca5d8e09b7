"""Deadlines and retry budgets: what is not started, what is not asked twice. In virtual time."""

import asyncio

import pytest
from llmbase.v1 import chat_completion_pb2 as pb
from llmbase.v1.routing_pb2 import RouteAttemptKind, RouteTrace, RouteVerdict

from service.errors import AllProvidersFailed, DeadlineExceeded, FaultKind, TotalLimitExceeded
from service.providers.call import Call
from service.routing.breaker import ErrorClass, State
from service.routing.retry_budget import ImaginedBudget, RetryBudget
from tests.unit import virtual_time
from tests.unit.service.routing.fake_providers import (
    REQUEST,
    FakeStream,
    always,
    dispatcher,
    fault,
    whole,
)

ONE = {"m": {"targets": [{"provider": "a"}]}}
TWO = {"m": {"targets": [{"provider": "a"}, {"provider": "b"}]}}
TWICE = {"m": {"targets": [{"provider": "a", "model": "x"}, {"provider": "a", "model": "y"}]}}
OFF = {"enabled": False}


def _verdicts(trace):
    return [RouteVerdict.Name(it.verdict).removeprefix("ROUTE_VERDICT_") for it in trace.candidates]


async def _call(made, **fields):
    call = Call("id", **fields)
    try:
        return await made.complete(REQUEST, call)
    finally:
        call.close()


def test_a_call_is_told_of_its_deadline_before_it_runs_out():
    async def main():
        made, _, _ = dispatcher(ONE, a=always(99, whole))
        with pytest.raises(DeadlineExceeded):
            await _call(made, seconds=10.0)
        return asyncio.get_running_loop().time()

    assert 9.9 < virtual_time.run(main()) < 10.0


def test_one_deadline_is_for_all_attempts_together():
    async def main():
        made, providers, _ = dispatcher(TWO, OFF, a=always(6, fault()), b=always(6, whole))
        with pytest.raises(DeadlineExceeded):
            await _call(made, seconds=10.0)
        assert providers["b"].cancelled == 1
        return asyncio.get_running_loop().time()

    assert 9.9 < virtual_time.run(main()) < 10.0


def test_what_usually_takes_longer_than_is_left_is_not_started_and_the_answer_is_in_time():
    async def main():
        made, providers, _ = dispatcher(TWO, OFF, a=always(4, whole), b=always(1, fault()))
        for _ in range(8):
            await _call(made)
        asked = providers["a"].asked
        call, trace = Call("id", seconds=3.0), RouteTrace()
        started = asyncio.get_running_loop().time()
        with pytest.raises(DeadlineExceeded):
            await made.complete(REQUEST, call, trace)
        assert providers["a"].asked == asked
        assert providers["b"].asked == 1, "who may be fast enough is asked"
        assert _verdicts(trace) == ["DEADLINE", "TAKEN"]
        assert asyncio.get_running_loop().time() - started < 3.0

    virtual_time.run(main())


@pytest.mark.parametrize("streamed", [False, True])
def test_a_target_that_uses_up_its_total_limit_is_slow_and_is_left_alone(streamed):
    async def main():
        over = TotalLimitExceeded("over")
        made, providers, _ = dispatcher(ONE, {"failures": 3}, a=always(600, over))
        ask = made.stream if streamed else made.complete
        trace = RouteTrace()
        for _ in range(3):
            with pytest.raises(DeadlineExceeded):
                await ask(REQUEST, Call("id"), trace)
        assert [it.outcome for it in trace.attempts] == ["slow"] * 3
        with pytest.raises(AllProvidersFailed):
            await ask(REQUEST, Call("id"))
        assert providers["a"].asked == 3

    virtual_time.run(main())


def test_a_stream_that_uses_up_its_total_limit_after_its_first_content_is_slow_too():
    async def main():
        def endless():
            return FakeStream(
                pb.ChatCompletionChunk(choices=[pb.ChoiceDelta(content="x")]),
                TotalLimitExceeded("over"),
            )

        made, _, board = dispatcher(ONE, {"failures": 1}, a=always(1, endless))
        trace = RouteTrace()
        answer = await made.stream(REQUEST, Call("id"), trace)
        await answer.read()
        with pytest.raises(DeadlineExceeded):
            await answer.read()
        answer.close()
        assert trace.attempts[0].outcome == "slow"
        assert board.target("a", "m").state() is State.OPEN

    virtual_time.run(main())


def test_a_target_that_was_too_slow_for_its_callers_is_found_to_be_fast_again():
    async def main():
        made, providers, _ = dispatcher(ONE, a=lambda n: (4 if n < 13 else 0.1, whole()))
        for _ in range(12):
            await _call(made)
        asked, answered = [], []
        for _ in range(30):
            await asyncio.sleep(5)
            before = providers["a"].asked
            try:
                await _call(made, seconds=3.0)
                answered.append(True)
            except DeadlineExceeded:
                answered.append(False)
            asked.append(providers["a"].asked - before)
        # One caller a minute finds out: the first in vain, the second not.
        assert sum(asked[:20]) == 1
        first = answered.index(True)
        assert 20 <= first <= 27
        assert all(answered[first:])

    virtual_time.run(main())


def test_repeats_at_a_provider_are_a_tenth_of_originals_and_a_small_reserve():
    async def main():
        made, providers, _ = dispatcher(TWICE, OFF, a=always(0, fault(FaultKind.CONNECT)))
        for _ in range(1000):
            with pytest.raises(AllProvidersFailed):
                await _call(made)
        return providers["a"].asked - 1000

    assert 100 <= virtual_time.run(main()) <= 111


def test_a_dry_run_imagines_what_it_spends_and_sees_what_others_spend():
    budget = RetryBudget()
    imagined = ImaginedBudget(budget)
    assert imagined.withdraw()
    assert (imagined.level, budget.level) == (9.0, 10.0)
    budget.withdraw()
    imagined.deposit()
    imagined.give_back()
    assert (imagined.level, budget.level) == (8.0, 9.0)


def test_a_move_to_another_provider_is_free_while_it_works():
    async def main():
        made, providers, board = dispatcher(TWO, OFF, a=always(0, fault()), b=always(0, whole))
        for _ in range(300):
            await _call(made)
        assert providers["b"].asked == 300
        assert board.provider("b").budget.level == 10

    virtual_time.run(main())


def test_in_a_total_outage_callers_are_told_at_once_and_hardly_anybody_is_asked():
    async def main():
        down = always(0.01, fault(FaultKind.CONNECT))
        made, providers, _ = dispatcher(TWO, a=down, b=down)

        async def calls(count):
            before = sum(it.asked for it in providers.values())
            for _ in range(count):
                with pytest.raises(AllProvidersFailed) as raised:
                    await _call(made)
                assert raised.value.retry_after >= 1
                await asyncio.sleep(0.05)
            return sum(it.asked for it in providers.values()) - before

        await calls(50)  # until the breakers have settled
        return await calls(1000) / 1000

    assert virtual_time.run(main()) <= 1.1


def test_a_provider_that_comes_back_is_found_by_a_probe():
    async def main():
        up = []
        made, providers, _ = dispatcher(
            ONE, a=lambda n: (0, whole()) if up else (0, fault(status=500))
        )
        for _ in range(20):
            with pytest.raises(AllProvidersFailed):
                await _call(made)
        assert providers["a"].asked == 5
        up.append(True)
        await asyncio.sleep(2)
        assert (await _call(made)).route.attempts == 1

    virtual_time.run(main())


def test_a_caller_that_waits_as_told_meets_an_open_breaker_no_more():
    async def main():
        limited = fault(status=429, retry_after=7.0)
        made, providers, _ = dispatcher(ONE, a=lambda n: (0, limited) if n == 0 else (0, whole()))
        with pytest.raises(AllProvidersFailed):
            await _call(made)
        with pytest.raises(AllProvidersFailed) as raised:
            await _call(made)
        assert providers["a"].asked == 1
        await asyncio.sleep(raised.value.retry_after)
        await _call(made)

    virtual_time.run(main())


def test_more_attempts_than_targets_are_repeats_after_a_pause():
    async def main():
        models = {"m": {**TWO["m"], "max_attempts": 5}}
        made, providers, _ = dispatcher(models, OFF, a=always(0, fault()), b=always(0, fault()))
        call, trace = Call("id"), RouteTrace()
        with pytest.raises(AllProvidersFailed):
            await made.complete(REQUEST, call, trace)
        kinds = [RouteAttemptKind.Name(it.kind).rpartition("_")[2] for it in trace.attempts]
        assert kinds == ["ORIGINAL", "ORIGINAL", "REPEAT", "REPEAT", "REPEAT"]
        assert (providers["a"].asked, providers["b"].asked) == (3, 2)
        starts = [it.start_ms for it in trace.attempts]
        assert starts[0] == starts[1] < starts[2] == starts[3] < starts[4]

    virtual_time.run(main())


@pytest.mark.parametrize(
    ("asked", "pauses"),
    [(None, [(50, 100), (100, 200), (200, 400)]), (3.0, [(3000, 3000)] * 3)],
)
def test_a_pause_doubles_somewhat_at_random_and_is_as_long_as_all_providers_ask_for(asked, pauses):
    async def main():
        models = {"m": {**TWO["m"], "max_attempts": 8}}
        failing = always(0, fault(status=503, retry_after=asked))
        made, _, _ = dispatcher(models, OFF, a=failing, b=failing)
        call, trace = Call("id"), RouteTrace()
        with pytest.raises(AllProvidersFailed):
            await made.complete(REQUEST, call, trace)
        starts = sorted({it.start_ms for it in trace.attempts})
        for (least, most), a, b in zip(pauses, starts[:-1], starts[1:], strict=True):
            assert least <= b - a <= most

    virtual_time.run(main())


def test_what_a_repeat_does_not_change_is_not_repeated():
    async def main():
        models = {"m": {**ONE["m"], "max_attempts": 5}}
        made, providers, _ = dispatcher(models, OFF, a=always(0, fault(status=404)))
        with pytest.raises(AllProvidersFailed):
            await _call(made)
        assert providers["a"].asked == 1

    virtual_time.run(main())


def test_a_pause_that_would_outlast_the_deadline_is_not_begun():
    async def main():
        models = {"m": {**ONE["m"], "max_attempts": 5}}
        made, _, _ = dispatcher(models, OFF, a=always(0, fault(status=503, retry_after=30.0)))
        with pytest.raises(DeadlineExceeded):
            await _call(made, seconds=5.0)
        assert asyncio.get_running_loop().time() < 1.0

    virtual_time.run(main())


def test_a_full_target_is_passed_over():
    async def main():
        targets = [{"provider": "a", "max_in_flight": 1}, {"provider": "b"}]
        made, _, _ = dispatcher({"m": {"targets": targets}}, a=always(1, whole), b=always(1, whole))
        first, second = await asyncio.gather(_call(made), _call(made))
        assert (first.route.provider, second.route.provider) == ("a", "b")
        assert (await _call(made)).route.provider == "a"

    virtual_time.run(main())


def test_what_a_pause_leaves_too_little_time_for_is_not_started():
    async def main():
        models = {"m": {**ONE["m"], "max_attempts": 5}}
        # It answers in 3 s as a rule; refused at once, then after a pause, 3 s are no longer left.
        made, providers, board = dispatcher(
            models, OFF, a=lambda n: (3, whole()) if n < 8 else (0, fault(retry_after=0.5))
        )
        for _ in range(8):
            await _call(made)
        call, trace = Call("id", seconds=3.4), RouteTrace()
        with pytest.raises(DeadlineExceeded):
            await made.complete(REQUEST, call, trace)
        assert providers["a"].asked == 9
        assert _verdicts(trace) == ["TAKEN", "DEADLINE"]
        assert board.provider("a").budget.level == 10, "what was not tried is not paid"

    virtual_time.run(main())


def test_a_target_whose_breaker_opens_in_the_pause_is_not_asked_again():
    async def main():
        models = {"m": {**ONE["m"], "max_attempts": 2}, "n": ONE["m"]}
        made, providers, _ = dispatcher(
            models, {"failures": 5}, a=always(0, fault(FaultKind.CONNECT))
        )
        first = asyncio.create_task(_call(made))
        await asyncio.sleep(0.001)  # it is in its pause, and four others fail
        board = made._router._board.target("a", "m")
        for _ in range(4):
            board.breaker(ErrorClass.CONNECT, None).fail(asyncio.get_running_loop().time())
        with pytest.raises(AllProvidersFailed):
            await first
        assert providers["a"].asked == 1

    virtual_time.run(main())


def test_of_callers_that_were_getting_ready_together_one_makes_the_probe():
    async def main():
        made, providers, board = dispatcher(ONE, {"failures": 1}, a=always(5, whole))
        board.target("a", "m").breaker(ErrorClass.CONNECT, None).fail(0.0)
        await asyncio.sleep(2)

        class Images:
            async def inline(self, request):
                await asyncio.sleep(1)
                return request

        providers["a"].images = Images()
        calls = [asyncio.create_task(_call(made)) for _ in range(10)]
        done = await asyncio.gather(*calls, return_exceptions=True)
        assert providers["a"].asked == 1
        assert sum(isinstance(it, AllProvidersFailed) for it in done) == 9

    virtual_time.run(main())
