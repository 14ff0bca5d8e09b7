"""Hedges: when a second target is asked beside the first, and who wins. In virtual time."""

import asyncio

import pytest
from llmbase.v1 import chat_completion_pb2 as pb
from llmbase.v1.routing_pb2 import RouteAttemptKind, RouteTrace, RouteVerdict

from service.errors import (
    AllProvidersFailed,
    DeadlineExceeded,
    FaultKind,
    RejectedByProvider,
    TotalLimitExceeded,
)
from service.providers.call import Call
from tests.unit import virtual_time
from tests.unit.service.routing.fake_providers import (
    REQUEST,
    FakeStream,
    always,
    dispatcher,
    fault,
    whole,
)

PRICE = {"prompt": "0.000001", "completion": "0.000002"}


def _models(**hedge):
    targets = [{"provider": "a"}, {"provider": "b"}]
    return {"m": {"targets": targets, "hedge": hedge, "pricing": PRICE, "max_output_length": 100}}


def _after(seconds, usual=21):
    """A hundredth of a second as often as it takes to know the target, then as long as this."""
    return lambda n: (_usual(n) if n < usual else seconds, whole("a"))


def _usual(n):
    return 0.01 if n else 0.02  # one slower than the others: what is usual is no tie


async def _warm(made, count=21):
    for _ in range(count):
        await made.complete(REQUEST, Call("id"))


def _kinds(trace):
    return [
        (RouteAttemptKind.Name(it.kind).rpartition("_")[2], it.outcome) for it in trace.attempts
    ]


def test_the_second_target_answers_when_the_first_is_slower_than_usual():
    async def main():
        made, providers, board = dispatcher(_models(), a=_after(9), b=always(0.02, whole))
        await _warm(made)
        started, trace = asyncio.get_running_loop().time(), RouteTrace()
        completion = await made.complete(REQUEST, Call("id"), trace)
        assert asyncio.get_running_loop().time() - started < 0.1
        assert (completion.route.provider, completion.route.attempts) == ("b", 2)
        assert _kinds(trace) == [("ORIGINAL", "lost"), ("HEDGE", "answered")]
        assert trace.attempts[0].cost_nanos == 6 * 1000, "the loser is settled with its prompt"
        await asyncio.sleep(0)
        assert providers["a"].cancelled == 1, "the loser is cancelled at once"
        assert [board.target(it, "m").in_flight for it in "ab"] == [0, 0]

    virtual_time.run(main())


def test_without_hedging_and_before_the_target_is_known_nobody_is_asked_beside():
    async def main():
        plain = {"m": {"targets": [{"provider": "a"}, {"provider": "b"}]}}
        for models, warm in ((plain, 21), (_models(), 5), (_models(enabled=False), 21)):
            made, providers, _ = dispatcher(models, a=_after(9, warm), b=always(0.02, whole))
            await _warm(made, warm)
            assert (await made.complete(REQUEST, Call("id"))).route.provider == "a"
            assert providers["b"].asked == 0

    virtual_time.run(main())


def test_the_first_may_still_win():
    async def main():
        made, providers, _ = dispatcher(_models(), a=_after(0.05), b=always(9, whole))
        await _warm(made)
        completion = await made.complete(REQUEST, Call("id"))
        assert (completion.route.provider, completion.route.attempts) == ("a", 2)
        await asyncio.sleep(0)
        assert providers["b"].cancelled == 1

    virtual_time.run(main())


def test_the_total_limit_of_one_leaves_the_other_its_chance_and_ends_the_call_of_the_last():
    async def main():
        over = TotalLimitExceeded("The provider's total time limit of 1 s ran out.")
        ends = lambda n: (_usual(n), whole()) if n < 21 else (1, over)  # noqa: E731
        made, _, board = dispatcher(_models(), a=ends, b=always(2, whole))
        await _warm(made)
        trace = RouteTrace()
        assert (await made.complete(REQUEST, Call("id"), trace)).route.provider == "b"
        assert _kinds(trace) == [("ORIGINAL", "slow"), ("HEDGE", "answered")]
        made, _, _ = dispatcher(_models(), a=ends, b=always(2, over))
        await _warm(made)
        with pytest.raises(TotalLimitExceeded):
            await made.complete(REQUEST, Call("id"))
        assert [board.target(it, "m").in_flight for it in "ab"] == [0, 0]

    virtual_time.run(main())


def test_a_fault_of_one_leaves_the_other_its_chance_and_two_faults_are_all():
    async def main():
        bad = fault(FaultKind.CONNECT)
        slow_bad = lambda n: (_usual(n), whole()) if n < 21 else (0.5, bad)  # noqa: E731
        for a, b, provider in (
            (slow_bad, always(2, whole), "b"),
            (_after(2), always(0.1, bad), "a"),
            (slow_bad, always(0.1, bad), None),
        ):
            made, _, _ = dispatcher(_models(), a=a, b=b)
            await _warm(made)
            if provider is None:
                with pytest.raises(AllProvidersFailed) as raised:
                    await made.complete(REQUEST, Call("id"))
                assert raised.value.facts == {"attempts": "2"}
            else:
                assert (await made.complete(REQUEST, Call("id"))).route.provider == provider

    virtual_time.run(main())


def test_a_refusal_ends_the_race():
    async def main():
        refusal = fault(FaultKind.REJECTED, status=400, told="too long")
        made, providers, _ = dispatcher(_models(), a=_after(9), b=always(0.1, refusal))
        await _warm(made)
        with pytest.raises(RejectedByProvider, match="too long"):
            await made.complete(REQUEST, Call("id"))
        await asyncio.sleep(0)
        assert providers["a"].cancelled == 1

    virtual_time.run(main())


@pytest.mark.parametrize("how", ["deadline", "cancel"])
def test_when_the_caller_is_gone_both_end_at_once(how):
    async def main():
        made, providers, board = dispatcher(_models(), a=_after(9), b=always(9, whole))
        await _warm(made)
        call = Call("id", seconds=1.0 if how == "deadline" else None)
        task = asyncio.create_task(made.complete(REQUEST, call))
        if how == "cancel":
            await asyncio.sleep(1.0)
            task.cancel()
        with pytest.raises((DeadlineExceeded, asyncio.CancelledError)):
            await task
        await asyncio.sleep(0)
        assert (providers["a"].cancelled, providers["b"].cancelled) == (1, 1)
        assert [board.target(it, "m").in_flight for it in "ab"] == [0, 0]

    virtual_time.run(main())


@pytest.mark.parametrize(("cap", "asked"), [("0.000001", 0), ("1", 1)])
def test_a_hedge_that_could_cost_too_much_is_not_made_but_the_target_is_still_next(cap, asked):
    async def main():
        slow_bad = lambda n: (_usual(n), whole()) if n < 21 else (0.5, fault())  # noqa: E731
        made, _, _ = dispatcher(_models(max_extra_cost=cap), a=slow_bad, b=always(0.01, whole))
        await _warm(made)
        trace = RouteTrace()
        completion = await made.complete(REQUEST, Call("id"), trace)
        assert completion.route.provider == "b"
        verdicts = [RouteVerdict.Name(it.verdict) for it in trace.candidates]
        assert ("ROUTE_VERDICT_PRICE" in verdicts) is (asked == 0)
        assert _kinds(trace)[-1] == ("HEDGE" if asked else "ORIGINAL", "answered")

    virtual_time.run(main())


def test_hedges_are_paid_from_the_retry_budget():
    async def main():
        made, providers, _ = dispatcher(_models(), a=_after(0.5), b=always(9, whole))
        await _warm(made)
        for _ in range(100):
            await made.complete(REQUEST, Call("id"))
            # Each hedge is as slow as an answer can be: the quantile must not learn it.
            board_target = made._router._board.target("a", "m")
            board_target.whole._samples.extend([0.01] * 128)
            board_target.whole._sorted = []
        # Ten in reserve, and a tenth of what was asked once since the reserve is less than full.
        assert 19 <= providers["b"].asked <= 22

    virtual_time.run(main())


def test_a_stream_that_comes_too_late_is_closed_and_the_winner_can_be_ended():
    async def main():
        def text():
            return pb.ChatCompletionChunk(choices=[pb.ChoiceDelta(content="x")])

        late, won = FakeStream(text()), FakeStream(text())
        made, _, _ = dispatcher(
            _models(),
            a=lambda n: (_usual(n), FakeStream(text())) if n < 21 else (0.03, late),
            b=always(0.02, lambda: won),
        )
        for _ in range(21):
            (await made.stream(REQUEST, Call("id"))).close()
        call = Call("id")
        answer = await made.stream(REQUEST, call)
        await asyncio.sleep(1)
        assert answer.route.provider == "a"
        assert (late.closed, won.closed) == (False, False)
        answer.close()
        assert late.closed
        call.wait.end(DeadlineExceeded("over"))

    virtual_time.run(main())


def test_with_two_speeds_the_slow_tail_is_cut_for_few_more_calls():
    async def main(hedge):
        def bimodal(n):
            return (2.0 if n % 33 == 32 else 0.1 + n * 7919 % 100 * 1e-4, whole())

        models = _models() if hedge else {"m": {"targets": _models()["m"]["targets"]}}
        made, providers, _ = dispatcher(models, a=bimodal, b=always(0.1, whole))
        loop, seconds = asyncio.get_running_loop(), []
        for _ in range(1000):
            started = loop.time()
            await made.complete(REQUEST, Call("id"))
            seconds.append(loop.time() - started)
        return sorted(seconds)[989], sum(it.asked for it in providers.values())

    slow, _ = virtual_time.run(main(hedge=False))
    fast, calls = virtual_time.run(main(hedge=True))
    assert fast <= slow / 2
    assert calls <= 1050
