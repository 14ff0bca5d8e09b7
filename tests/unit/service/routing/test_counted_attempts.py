"""Every attempt is counted once, however it ends, with what it cost us. In virtual time."""

import asyncio

import pytest
from llmbase.v1 import chat_completion_pb2 as pb

from service.errors import FaultKind, UpstreamTruncated
from service.providers.call import Call
from service.routing.attempt import OUTCOMES, PURPOSES
from tests.support.metrics_page import counted
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
KNOWN = {
    "provider": ["a", "b"],
    "purpose": PURPOSES.values(),
    "outcome": OUTCOMES,
    "model": ["m", "spare"],
}
MODEL = {"targets": [{"provider": "a"}, {"provider": "b"}], "pricing": PRICE}


def _made(model, **behaviours):
    models = {"m": model, "spare": {"targets": [{"provider": "b"}]}}
    made, _, board = dispatcher(models, **behaviours)
    made._means.metrics.learn(KNOWN)
    return made, board


def _attempts(made):
    found = counted(made._means.metrics.render(), "llmbase_attempts_total")
    return {f"{provider} {purpose} {how}": n for (how, provider, purpose), n in found.items()}


def _cost(made):
    return counted(made._means.metrics.render(), "llmbase_provider_cost_nanodollars_total")


def _chunk(text):
    return pb.ChatCompletionChunk(choices=[pb.ChoiceDelta(content=text)])


def test_a_failure_and_the_answer_after_it_are_two():
    async def main():
        made, _ = _made(MODEL, a=always(0.1, fault(status=500)), b=always(0.1, whole))
        await made.complete(REQUEST, Call("id"))
        assert _attempts(made) == {"a original status": 1, "b original answered": 1}
        assert _cost(made).keys() == {("b",)}

    virtual_time.run(main())


def test_the_loser_of_a_hedge_is_counted_and_so_is_what_it_cost():
    async def main():
        slow = lambda n: ((0.01 if n else 0.02) if n < 21 else 9.0, whole())  # noqa: E731
        made, _ = _made(MODEL | {"hedge": {}}, a=slow, b=always(0.02, whole))
        for _ in range(22):
            await made.complete(REQUEST, Call("id"))
        await asyncio.sleep(0)
        found = _attempts(made)
        assert found["a original lost"] == found["b hedge answered"] == 1
        assert found["a original answered"] == 21
        assert _cost(made)[("a",)] > 0

    virtual_time.run(main())


def test_a_caller_that_leaves_cancels_one_attempt():
    async def main():
        made, board = _made(MODEL, a=always(9.0, whole), b=always(0.1, whole))
        asked = asyncio.create_task(made.complete(REQUEST, Call("id")))
        await asyncio.sleep(1)
        asked.cancel()
        with pytest.raises(asyncio.CancelledError):
            await asked
        assert _attempts(made) == {"a original cancelled": 1}
        assert board.target("a", "m").in_flight == 0

    virtual_time.run(main())


def test_a_stream_that_breaks_is_one_attempt_that_was_truncated():
    async def main():
        broken = FakeStream(_chunk("Hel"), fault(FaultKind.TRUNCATED))
        made, _ = _made(MODEL, a=always(0.1, broken), b=always(0.1, whole))
        answer = await made.stream(REQUEST, Call("id"))
        with pytest.raises(UpstreamTruncated):
            for _ in range(2):
                await answer.read()
        answer.close()
        answer.close()
        assert _attempts(made) == {"a original truncated": 1}

    virtual_time.run(main())


def test_a_stream_counts_when_it_is_closed():
    async def main():
        made, _ = _made(MODEL, a=always(0.1, FakeStream(_chunk("Hi"))), b=always(0.1, whole))
        answer = await made.stream(REQUEST, Call("id"))
        assert _attempts(made) == {}
        answer.close()
        assert _attempts(made) == {"a original answered": 1}

    virtual_time.run(main())


def test_what_breakers_and_budgets_say_is_read_of_the_board():
    async def main():
        model = {"targets": [{"provider": "a"}]}
        made, board = _made(
            model, breaker={"failures": 2}, a=always(0, fault(status=500)), b=always(0, whole)
        )
        for _ in range(2):
            with pytest.raises(Exception, match="All upstream"):
                await made.complete(REQUEST, Call("id"))
        assert board.breakers() == {("a", "open"): 1}
        assert board.budgets()[("a",)] == pytest.approx(10)

    virtual_time.run(main())


def test_a_fallback_is_counted_by_the_model_that_was_asked_for():
    async def main():
        model = {"targets": [{"provider": "a"}], "fallbacks": ["spare"]}
        made, _ = _made(model, a=always(0, fault(status=500)), b=always(0, whole))
        await made.complete(REQUEST, Call("id"))
        assert counted(made._means.metrics.render(), "llmbase_fallbacks_total") == {("m",): 1}

    virtual_time.run(main())
