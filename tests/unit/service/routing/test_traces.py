"""What a trace says is what was decided: it can be decided again from the configuration and it."""

import asyncio
import contextlib
import random

import pytest
from llmbase.v1 import chat_completion_pb2 as pb
from llmbase.v1.routing_pb2 import RouteAttemptKind, RouteTrace, RouteVerdict

from service.config import ModelConfig
from service.errors import AllProvidersFailed, DeadlineExceeded, FaultKind
from service.providers.call import Call
from service.routing import policy
from service.routing.explain import explain
from tests.unit import virtual_time
from tests.unit.service.routing import replay
from tests.unit.service.routing.fake_providers import (
    REQUEST,
    FakeStream,
    always,
    dispatcher,
    fault,
    whole,
)

POLICIES = sorted(policy.POLICIES)


def _models(policy_name, **fields):
    targets = [
        {
            "provider": name,
            "weight": weight,
            "pricing": {"prompt": price, "completion": price},
        }
        for name, weight, price in (("a", 3, "0.003"), ("b", 1, "0.001"), ("c", 2, "0.002"))
    ]
    return {"m": {"targets": targets, "policy": policy_name, **fields}}


def _requests(count):
    chance = random.Random(5)
    for i in range(count):
        request = pb.ChatCompletionRequest()
        request.CopyFrom(REQUEST)
        if chance.random() < 0.5:
            request.user = f"user {i % 7}"
        yield request


@pytest.mark.parametrize("name", POLICIES)
def test_every_decision_can_be_made_again_from_the_configuration_and_the_trace(name):
    async def main():
        chance, seen, kinds, calm = random.Random(3), set(), set(), 0

        def behave(n):
            bad = chance.choice([*[None] * calm, fault(FaultKind.CONNECT), fault(status=429)])
            seconds = 1.0 if chance.random() < 0.03 else chance.uniform(0.01, 0.03)
            return seconds, bad or whole()

        # Below the price of one of those that would be asked beside the first.
        hedge = {"max_extra_cost": "0.12" if name == "cheapest" else "0.08"}
        models = _models(name, max_attempts=4, hedge=hedge, fallbacks=["n"])
        models["m"]["max_output_length"] = 50
        models["m"]["targets"][1]["max_in_flight"] = 3
        models["n"] = {"targets": [{"provider": "c"}, {"provider": "a"}], "policy": name}
        made, _, _ = dispatcher(models, {"failures": 3}, a=behave, b=behave, c=behave)
        known = {key: ModelConfig.model_validate(model) for key, model in models.items()}

        async def ask(request):
            call, trace = Call("id", seconds=chance.choice([None, 0.015, 0.3, 5.0])), RouteTrace()
            # All are looked at in a dry run; a real call ends with the first answer.
            plan = made.plan(request, call, stream=False, dry=True)
            explain(plan, request, call, stream=False)
            replay.check(known, plan.trace)
            with contextlib.suppress(AllProvidersFailed, DeadlineExceeded):
                await made.complete(request, call, trace)
            call.close()
            replay.check(known, trace)
            seen.update(RouteVerdict.Name(it.verdict) for it in trace.candidates)
            kinds.update(RouteAttemptKind.Name(it.kind) for it in trace.attempts)

        calls = []
        for request in _requests(1000):
            calm = 40 if len(calls) < 500 else 2  # then come the bad times
            calls.append(asyncio.create_task(ask(request)))
            await asyncio.sleep(chance.choice([0.0, 0.01, 0.1]))
        await asyncio.gather(*calls)
        return seen, kinds

    seen, kinds = virtual_time.run(main())
    verdicts = {it.removeprefix("ROUTE_VERDICT_") for it in seen}
    assert {"TAKEN", "UNSPECIFIED", "BREAKER_OPEN", "DEADLINE", "FULL"} <= verdicts
    assert {"RETRY_BUDGET", "PRICE", "MAX_ATTEMPTS"} <= verdicts
    assert {it.rpartition("_")[2] for it in kinds} == {"ORIGINAL", "REPEAT", "HEDGE"}


def test_explaining_changes_nothing_and_says_what_would_be():
    async def main():
        made, providers, board = dispatcher(
            _models("weighted"), a=always(0, whole), b=always(0, whole), c=always(0, whole)
        )
        before = (dict(board.weights), board.provider("a").budget.level)
        for _ in range(5):
            plan = made.plan(REQUEST, Call("id"), stream=False, dry=True)
            explain(plan, REQUEST, Call("id"), stream=False)
            assert [it.provider for it in plan.trace.candidates] == ["a", "c", "b"]
        assert [it.asked for it in providers.values()] == [0, 0, 0]
        assert board.weights == {"m": [0, 0, 0]} | before[0]
        assert board.provider("a").budget.level == before[1]

    virtual_time.run(main())


def test_a_target_that_is_looked_at_again_has_a_row_more_that_says_how_it_stood_and_what_is_now():
    async def main():
        def behave(n):
            return 0.25, whole() if n else fault(status=503)

        models = {"m": {"targets": [{"provider": "a"}], "max_attempts": 2}}
        made, _, board = dispatcher(models, a=behave)
        call, trace = Call("id"), RouteTrace()
        await made.complete(REQUEST, call, trace)
        first, again = trace.candidates
        assert again.standing == first.standing
        assert not first.gate.charged
        assert again.gate.charged
        assert [first.verdict, again.verdict] == [RouteVerdict.ROUTE_VERDICT_TAKEN] * 2
        assert [it.candidate for it in trace.attempts] == [0, 1]
        pause = trace.attempts[1].start_ms / 1000 - 0.25
        assert call.waited == pytest.approx(0.5 + pause, abs=0.001)
        assert board.target("a", "m").in_flight == 0

    virtual_time.run(main())


def test_fallback_models_that_may_not_serve_are_named_with_the_reason():
    async def main():
        models = _models("priority", fallbacks=["n", "o"]) | {
            "n": {"targets": [{"provider": "b"}]},
            "o": {"targets": [{"provider": "c"}], "supported_features": ["tools"]},
        }
        models["m"]["supported_features"] = ["tools"]
        down = always(0, fault())
        made, _, _ = dispatcher(models, {"enabled": False}, a=down, b=down, c=down)
        request = pb.ChatCompletionRequest(tools=[pb.Tool(name="f")])
        request.MergeFrom(REQUEST)
        trace = RouteTrace()
        with pytest.raises(AllProvidersFailed):
            call = Call("id", may_serve=lambda model: model != "o")
            await made.complete(request, call, trace)
        verdicts = {
            it.model: RouteVerdict.Name(it.verdict).removeprefix("ROUTE_VERDICT_")
            for it in trace.candidates[3:]
        }
        assert verdicts == {"n": "CAPABILITY", "o": "FORBIDDEN"}

    virtual_time.run(main())


def test_a_trace_has_each_attempt_with_its_outcome_time_and_money():
    async def main():
        answer = whole()
        answer.usage.CopyFrom(pb.Usage(prompt_tokens=10, completion_tokens=20, total_tokens=30))
        made, _, _ = dispatcher(
            _models("priority"),
            a=always(0.25, fault(status=503)),
            b=always(0.5, answer),
            c=always(0, whole),
        )
        trace = RouteTrace()
        await made.complete(REQUEST, Call("id"), trace)
        first, second = trace.attempts
        assert (first.outcome, first.status, first.start_ms, first.first_content_ms) == (
            "status",
            503,
            0,
            250,
        )
        assert not first.HasField("cost_nanos")
        assert (second.outcome, second.start_ms, second.first_content_ms) == ("answered", 250, 500)
        assert second.cost_nanos == 30 * 1_000_000  # 30 tokens at 0.001 dollars
        assert second.kind == RouteAttemptKind.ROUTE_ATTEMPT_KIND_ORIGINAL

    virtual_time.run(main())


PROMPT = 6  # tokens of REQUEST, by our estimate


def test_an_attempt_whose_provider_was_at_work_is_settled_with_what_it_had_got():
    async def main():
        made, _, _ = dispatcher(
            _models("priority"),
            a=always(1, fault(FaultKind.SLOW)),
            b=always(0, fault(FaultKind.CONNECT)),
            c=always(99, whole),
        )
        trace = RouteTrace()
        with pytest.raises(DeadlineExceeded):
            await made.complete(REQUEST, Call("id", seconds=5.0), trace)
        slow, unreached, cancelled = trace.attempts
        assert (slow.outcome, slow.cost_nanos) == ("slow", PROMPT * 3_000_000)
        assert (unreached.outcome, unreached.HasField("cost_nanos")) == ("connect", False)
        assert (cancelled.outcome, cancelled.cost_nanos) == ("cancelled", PROMPT * 2_000_000)
        assert not trace.HasField("charge_nanos"), "nobody pays for no answer"

    virtual_time.run(main())


@pytest.mark.parametrize("streamed", [False, True])
@pytest.mark.parametrize(
    ("requested", "served", "charged"),
    [("0.002", "0.001", "0.001"), ("0.001", "0.002", "0.001"), (None, "0.002", "0.002")],
)
def test_a_fallback_costs_its_caller_the_cheaper_of_both_prices(
    requested, served, charged, streamed
):
    async def main():
        def price(each):
            return {"pricing": {"prompt": each, "completion": each}} if each else {}

        models = {
            "m": {"targets": [{"provider": "a"}], "fallbacks": ["n"], **price(requested)},
            "n": {"targets": [{"provider": "b", **price("0.009")}], **price(served)},
        }
        usage = pb.Usage(prompt_tokens=10, completion_tokens=20, total_tokens=30)
        answer = whole()
        answer.usage.CopyFrom(usage)
        stream = FakeStream(pb.ChatCompletionChunk(last=True, usage=usage))
        made, _, _ = dispatcher(
            models, a=always(0, fault()), b=always(0, stream if streamed else answer)
        )
        trace = RouteTrace()
        if streamed:
            chunks = await made.stream(REQUEST, Call("id"), trace)
            await chunks.read()
            chunks.close()
        else:
            await made.complete(REQUEST, Call("id"), trace)
        assert trace.charge_nanos == 30 * int(float(charged) * 1000) * 1_000_000
        assert trace.attempts[1].cost_nanos == 30 * 9_000_000, "what the target costs is our affair"

    virtual_time.run(main())


def test_what_is_there_of_a_stream_is_paid_for_when_its_deadline_ends_it():
    async def main():
        text = pb.ChatCompletionChunk(choices=[pb.ChoiceDelta(content="12345678")])
        stream = FakeStream(text, DeadlineExceeded("over"))
        models = _models("priority", pricing={"prompt": "0.001", "completion": "0.001"})
        made, _, _ = dispatcher(models, a=always(0, stream), b=None, c=None)
        trace = RouteTrace()
        answer = await made.stream(REQUEST, Call("id"), trace)
        await answer.read()
        with pytest.raises(DeadlineExceeded):
            await answer.read()
        # Here the trace is sent: the answer is closed afterwards.
        assert trace.attempts[0].cost_nanos == (PROMPT + 2) * 3_000_000
        assert trace.charge_nanos == (PROMPT + 2) * 1_000_000
        answer.close()

    virtual_time.run(main())
